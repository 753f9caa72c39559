"""An adaptation as a table and as a figure: what the fits bring on images that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salbench import figure as figures
from salbench import results, tables
from salbench.adaptation.draws import ALL
from salbench.adaptation.run import UNADAPTED, Adaptation
from salbench.metrics import METRICS
from salbench.results import Result
from salbench.stats import bootstrap_means, random_effects_difference
from salbench.tables import Row

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("ig", "nss", "auc", "kl")
GAP = "ig"  # the metric in which the gap to the ceiling is measured


@dataclass(frozen=True)
class _Point:
    """What the fits to one number of images bring.

    Attributes:
        images: as asked for: a number, or "all".
        n: number of images that each fit saw.
        scores: a row per image, the mean over the fits that it was held out from.
        unadapted: the same images without adaptation.
        by_draw: {metric: (draws,)} mean change of the images that were held out from a draw.
    """

    images: str
    n: int
    scores: pandas.DataFrame
    unadapted: pandas.DataFrame
    by_draw: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        return f"{self.n} images" + (" (all)" if self.images == ALL else "")

    def mean(self, metric: str, seed: int) -> tables.Cell:
        """Cell of the mean, with its bootstrap interval over images."""
        return _mean(self.scores[metric], seed)

    def change(self, metric: str) -> tables.Cell:
        """Cell of the mean change of an image, with its interval and p-value by the paired t-test."""
        found = random_effects_difference(self.scores[metric].to_numpy()[None], self.unadapted[metric].to_numpy()[None])
        if not found.n_images:
            return None
        return {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p, "n": found.n_images}


def table(adaptation: Adaptation, out: Path | str, style: str = "md") -> str:
    """The scores for each number of images, and the changes on the same images.

    Args:
        adaptation: finished.
        out: folder of the results, to look for a ceiling.
        style: "md", "latex" or "csv"; CSV has the scores alone.
    """
    identity = adaptation.identity
    points, columns = _points(adaptation), {name: METRICS[name] for name in SHOWN}
    unadapted = _unadapted(adaptation)
    rows = [Row("as it is", {name: _mean(unadapted[name], identity["seed"]) for name in SHOWN})]
    rows += [Row(point.name, {name: point.mean(name, identity["seed"]) for name in SHOWN}) for point in points]
    title = f"{_title(adaptation)}, protocol {identity['protocol']} v{identity['protocol_version']}"
    scores = tables.render(title, rows, columns, list(_about_scores(adaptation)), style)
    if style == "csv":
        return scores
    changes = [Row(point.name, {name: point.change(name) for name in SHOWN}, signed=True) for point in points]
    notes = list(_about_changes(adaptation, points, out))
    return scores + "\n" + tables.render("Change on images that were not fitted to", changes, columns, notes, style)


def _title(adaptation: Adaptation) -> str:
    facts, identity = adaptation.facts, adaptation.identity
    gaze = "SIMULATED gaze" if facts["gaze"] == "simulated" else facts["gaze"]
    return f"{identity['method']} adapted to {identity['dataset']}, {facts['n_images']} images, {gaze}"


def _points(adaptation: Adaptation) -> list[_Point]:
    unadapted = _unadapted(adaptation)
    asked = dict.fromkeys(each.draw.images for each in adaptation.fits)
    return [_point(adaptation, images, unadapted) for images in asked]


def _point(adaptation: Adaptation, images: str, unadapted: pandas.DataFrame) -> _Point:
    mine = adaptation.scores[adaptation.scores["images"] == images]
    scores = mine.groupby("id", sort=False)[list(METRICS)].mean()
    n = min(len(each.draw.fitted) for each in adaptation.fits if each.draw.images == images)
    changes = mine.set_index(["draw", "id"])[list(METRICS)] - unadapted.reindex(mine["id"]).to_numpy()
    by_draw = changes.groupby("draw").mean()
    return _Point(images, n, scores, unadapted.reindex(scores.index), {m: by_draw[m].to_numpy() for m in METRICS})


def _unadapted(adaptation: Adaptation) -> pandas.DataFrame:
    scores = adaptation.scores
    return scores[scores["images"] == UNADAPTED].set_index("id")[list(METRICS)]


def _mean(values: pandas.Series, seed: int) -> tables.Cell:
    column = values.to_numpy()[:, None]
    if not np.isfinite(column).any():
        return None
    mean, low, high = (float(x[0]) for x in bootstrap_means(column, np.ones(len(column)), seed=seed))
    return {"mean": mean, "low": low, "high": high, "n": int(np.isfinite(column).sum())}


def _about_scores(adaptation: Adaptation) -> Iterator[str]:
    facts = adaptation.facts
    yield "±: half the width of the 95 % bootstrap interval over images."
    if facts["train"]:
        yield f"Fitted to images of {facts['train']}; every image of {adaptation.identity['dataset']} is scored."
    else:
        yield (
            "An image is scored only with numbers that were fitted without it, so the rows are means over different "
            "images: compare them in the next table. (all): each fifth, with numbers fitted to the other four."
        )
    yield (
        "The fit chooses an input scale, a blur, a temperature and a Gaussian centre prior; Kümmerer et al. (2025, "
        "arXiv 2505.10169) adapt such numbers."
    )
    if facts["output"] == "map":
        yield f"{adaptation.identity['method']} predicts a map; it is read as a density, also where it is not adapted."
    if facts["n_seen"]:
        yield f"{adaptation.identity['method']} was trained on {facts['n_seen']} of these images: not a test."
    yield from (f"{adaptation.identity['method']}: {note}" for note in facts["notes"])


def _about_changes(adaptation: Adaptation, points: Sequence[_Point], out: Path | str) -> Iterator[str]:
    yield (
        "±: half the width of the 95 % interval over images, given the fits. "
        f"*: p < {tables.SIGNIFICANT} (paired t-test over images); bold if it is also a gain."
    )
    spreads = [f"{p.name} {p.by_draw[GAP].std(ddof=1):.3f}" for p in points if p.images != ALL and _n_draws(p) > 1]
    if spreads:
        yield f"Standard deviation of the mean change of {GAP} between random draws: {', '.join(spreads)}."
    yield _closed(adaptation, points, out)
    yield from (_fitted(adaptation, point) for point in points)


def _n_draws(point: _Point) -> int:
    return len(point.by_draw[GAP])


def _closed(adaptation: Adaptation, points: Sequence[_Point], out: Path | str) -> str:
    """How much of the gap to the ceiling the adaptation closes, or how to find out."""
    found = _ceiling(adaptation, out)
    if found is None:
        identity = adaptation.identity
        command = f"salbench run --methods inter_observer --dataset {identity['dataset']}"
        command += f" --protocol {identity['protocol']} --out {out}"
        return f"No ceiling in the results, so no gap to it. If observers are known: {command}"
    gap = _value(found, GAP) - float(_unadapted(adaptation)[GAP].mean())
    if not gap > 0:
        return f"{adaptation.identity['method']} is not below {found.method} in {GAP}, so there is no gap to close."
    parts = [f"{point.name} {cell['mean'] / gap:.0%}" for point in points if (cell := point.change(GAP))]
    return f"Part of the gap in {GAP} to {found.method} ({gap:.3f} bits) that is closed: {', '.join(parts)}."


def _value(result: Result, metric: str) -> float:
    cell = result.metrics[metric]
    return cell["mean"] if cell else np.nan


def _ceiling(adaptation: Adaptation, out: Path | str) -> Result | None:
    """A ceiling on the same images by the same protocol, if its result is in the folder."""
    same = ("dataset", "fingerprint", "choices", "scoring")
    for result in results.read_all(out, adaptation.identity["dataset"]).values():
        agrees = all(result.identity[name] == adaptation.identity[name] for name in same)
        if result.ceiling and agrees and result.metrics[GAP]:
            return result
    return None


def _fitted(adaptation: Adaptation, point: _Point) -> str:
    """The median parameters of the fits to one number of images."""
    found = [each.parameters for each in adaptation.fits if each.draw.images == point.images]
    scale, blur, exponent = np.median([(p.scale, p.blur, p.exponent) for p in found], axis=0)
    prior = np.median([p.prior for p in found], axis=0)
    terms = " ".join(f"{value:+.2f} {term}" for value, term in zip(prior, ("x", "x²", "y", "y²"), strict=True))
    temperature = f"{1 / exponent:.2f}" if exponent else "infinite"
    fits = "1 fit" if len(found) == 1 else f"{len(found)} fits"
    return (
        f"{point.name}, median of {fits}: input scale {scale:g}, blur {blur:.2f} sigma, temperature {temperature}, "
        f"logarithm of the prior {terms}."
    )


@figures.style()
def figure(adaptation: Adaptation, out: Path | str) -> Figure:
    """Draw each metric against the number of images, with bands of 95 % intervals and a dot per random draw.

    Args:
        adaptation: finished.
        out: folder of the results, to look for a ceiling.
    """
    from matplotlib.figure import Figure

    points, ceiling = _points(adaptation), _ceiling(adaptation, out)
    drawing = Figure(figsize=(figures.PAGE, 2.3), layout="constrained")
    panels = drawing.subplots(1, len(SHOWN))
    for panel, metric in zip(panels, SHOWN, strict=True):
        _curve(panel, adaptation, points, metric)
        if ceiling and (highest := ceiling.metrics[metric]):
            panel.axhline(highest["mean"], color="0.4", linewidth=1, linestyle="--", label="ceiling")
        panel.set_title(f"{figures.metric_title(metric)} {'↑' if METRICS[metric].higher_is_better else '↓'}")
        panel.set_xlabel("images fitted to")
    handles, labels = panels[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    drawing.suptitle(_title(adaptation), fontsize=7.5)
    return drawing


def _curve(panel: Axes, adaptation: Adaptation, points: Sequence[_Point], metric: str) -> None:
    seed, unadapted = adaptation.identity["seed"], _unadapted(adaptation)
    cells = [_mean(unadapted[metric], seed), *(point.mean(metric, seed) for point in points)]
    places = [k for k, cell in enumerate(cells) if cell]
    mean, low, high = ([cell[part] for cell in cells if cell] for part in ("mean", "low", "high"))
    panel.fill_between(
        places, low, high, color=figures.COLORS[0], alpha=0.2, linewidth=0, label="95 % interval over images"
    )
    panel.plot(places, mean, "-o", color=figures.COLORS[0], label="mean over held-out images")
    for k, point in enumerate(points, 1):
        if point.images != ALL and _n_draws(point) > 1:
            spread = np.linspace(-0.12, 0.12, _n_draws(point))
            level = float(point.unadapted[metric].mean())
            label = "one random draw" if k == 1 else None
            panel.plot(k + spread, level + point.by_draw[metric], "o", color="0.45", markersize=2.5, label=label)
    panel.set_xticks(range(len(cells)), ["0", *(str(point.n) for point in points)])
    panel.set_xlim(-0.3, len(cells) - 0.7)
