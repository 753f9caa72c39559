"""Comparisons of arms that were planned before the training: from a file to a table.

The file is TOML::

    dataset = "osie"                  # as given to `ablate`
    method = "lite"
    metric = "nss"
    tests = ["osie_test"]             # data sets that the trainings were tested on
    protocol = "tuebingen"            # optional

    [[comparison]]
    question = "Does mirroring help?"
    arm = "hflip"
    against = "none"
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from salbench.ablation import arms
from salbench.ablation.splits import PROTOCOL, Ablation, AblationProblem
from salbench.datasets import results_name
from salbench.metrics import METRICS
from salbench.stats import POWER, Difference, holm, random_effects_difference
from salbench.tables import SIGNIFICANT
from salbench.text_files import parse_toml

if TYPE_CHECKING:
    import numpy as np
    import pandas


@dataclass(frozen=True)
class Comparison:
    """One planned comparison.

    Attributes:
        question: what it answers, in a few words.
        arm: name of an arm.
        against: name of the arm that is subtracted.
    """

    question: str
    arm: str
    against: str


@dataclass(frozen=True)
class Planned:
    """All planned comparisons of an ablation.

    Attributes:
        dataset: what was trained on, as given to `ablate`.
        method: the method that was trained.
        metric: the metric that is compared.
        tests: names of the data sets that the trainings were tested on.
        comparisons: in the order of the file.
        protocol: name of the protocol.
    """

    dataset: str
    method: str
    metric: str
    tests: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    protocol: str = PROTOCOL

    @property
    def higher_is_better(self) -> bool:
        """Whether a rise of the metric is a gain."""
        return METRICS[self.metric].higher_is_better

    def ablation(self, test: str) -> Ablation:
        """The ablation that one data set tests."""
        return Ablation(self.dataset, test, self.protocol)


@dataclass(frozen=True)
class Answer:
    """What the trainings say about one comparison on one data set.

    Attributes:
        difference: mean of arm minus `against`, with its interval.
        p: p-value after Holm's correction over all comparisons and data sets.
        detectable: the true difference that is significant with probability `POWER` if it is the only one: at the
            first, strictest step of Holm's correction.
    """

    difference: Difference
    p: float
    detectable: float


Answers = dict[str, list[Answer]]  # {test: one for each comparison}


def read(path: Path | str) -> Planned:
    """Read a file of planned comparisons.

    Raises:
        AblationProblem: an unreadable file, or one with other content.
    """
    try:
        content = parse_toml(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise AblationProblem(f"{path}: expected a TOML file of planned comparisons ({error})") from error
    try:
        listed = tuple(Comparison(**each) for each in content.pop("comparison"))
        planned = Planned(**{**content, "tests": tuple(content["tests"]), "comparisons": listed})
    except (KeyError, TypeError) as error:
        known = ", ".join(field.name for field in fields(Planned) if field.name != "comparisons")
        raise AblationProblem(
            f"{path}: expected {known} and, for each [[comparison]], question, arm and against; got other content "
            f"({error})"
        ) from error
    if planned.metric not in METRICS:
        raise AblationProblem(f"{path}: metric: expected one of {', '.join(METRICS)}, got {planned.metric!r}")
    if not planned.comparisons or not planned.tests:
        raise AblationProblem(f"{path}: expected at least one comparison and one test, got none")
    return planned


def answer(out: Path | str, planned: Planned) -> Answers:
    """Compare the arms.

    Args:
        out: folder of the results.
        planned: the comparisons.

    Raises:
        AblationProblem: an arm that was not trained or not scored on all test data sets.
    """
    strictest = 1 - SIGNIFICANT / (len(planned.comparisons) * len(planned.tests))
    pairs = {test: _pairs(out, planned, test) for test in planned.tests}
    differences = {test: [random_effects_difference(*pair) for pair in each] for test, each in pairs.items()}
    corrected = iter(holm([one.p for each in differences.values() for one in each]))
    return {
        test: [
            Answer(one, float(next(corrected)), random_effects_difference(*pair, level=strictest).detectable)
            for one, pair in zip(differences[test], each, strict=True)
        ]
        for test, each in pairs.items()
    }


def _pairs(out: Path | str, planned: Planned, test: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The scores, (seeds, images), of both arms of each comparison on one data set."""
    ablation = planned.ablation(test)
    wanted = {name for c in planned.comparisons for name in (c.arm, c.against)}
    by_method = arms.read(out, ablation, wanted)
    if planned.method not in by_method:
        raise AblationProblem(
            f"{out}/{ablation.folder}: expected all arms of {planned.method} that are compared, "
            f"{', '.join(sorted(wanted))}; make them with: salbench ablate"
        )
    of = {arm: scores[planned.metric] for arm, scores in by_method[planned.method].items()}
    return [(of[c.arm], of[c.against]) for c in planned.comparisons]


def frame(planned: Planned, answers: Answers) -> pandas.DataFrame:
    """One row for each data set and comparison.

    Returns:
        test, question, arm, against, difference, low, high, p, detectable, seeds and images; see `Answer`.
    """
    import pandas

    rows = [
        {
            "test": results_name(test), **vars(comparison), "difference": one.difference.mean,
            "low": one.difference.low, "high": one.difference.high, "p": one.p, "detectable": one.detectable,
            "seeds": one.difference.n_seeds, "images": one.difference.n_images,
        }
        for test in planned.tests
        for comparison, one in zip(planned.comparisons, answers[test], strict=True)
    ]  # fmt: skip
    return pandas.DataFrame(rows)


def table(planned: Planned, answers: Answers) -> str:
    """A Markdown table for each data set, with a row for each comparison, and notes."""
    parts = []
    for test, rows in frame(planned, answers).groupby("test", sort=False):
        body = [[r.question, f"{r.difference:+.3f} [{r.low:+.3f}, {r.high:+.3f}]", _p(r), f"{r.detectable:.3f}"]
                for r in rows.itertuples()]  # fmt: skip
        size = f"{rows.images.iloc[0]} images x {rows.seeds.iloc[0]} seeds"
        header = ["question", f"{planned.metric} {'↑' if planned.higher_is_better else '↓'}", "p", "detectable"]
        title = f"{planned.method} trained on {planned.dataset}, tested on {test} ({size})"
        parts.append(f"{title}\n\n{tabulate(body, header, tablefmt='github', disable_numparse=True)}\n")
    count = len(planned.comparisons) * len(planned.tests)
    notes = (
        f"Mean difference in {planned.metric} with its 95 % interval over images and seeds (two-way random effects).",
        f"p: after Holm's correction over all {count} planned comparisons; bold if below {SIGNIFICANT:g}.",
        f"detectable: the true difference that such an experiment finds significant with probability {POWER:g}, after "
        "the correction, if it is the only one.",
    )
    return "\n".join(parts) + "\n" + "".join(f"- {note}\n" for note in notes)


def _p(row: Any) -> str:
    text = "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"
    return f"**{text}**" if row.p < SIGNIFICANT else text
