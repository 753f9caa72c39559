"""Planned comparisons of an ablation: differences with intervals on each test data set."""

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from salbench import figure
from salbench.ablation import comparisons as planned_comparisons
from salbench.ablation.comparisons import Answer, Planned
from salbench.datasets import results_name
from salbench.metrics import METRICS
from salbench.tables import SIGNIFICANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 46  # letters of a question


@figure.style()
def comparisons(out: Path | str, planned: Planned) -> "Figure":
    """Draw the differences: a panel per data set, a line per comparison, better to the right.

    Lines are 95 % intervals over images and seeds. A marker is filled if the difference is significant after Holm's
    correction over all comparisons and data sets.

    Args:
        out: folder of the results.
        planned: the comparisons, as from `salbench.ablation.comparisons.read`.

    Raises:
        AblationProblem: an arm that was not trained or not scored on all test data sets.
    """
    from matplotlib.figure import Figure

    answers = planned_comparisons.answer(out, planned)
    questions = [fill(comparison.question, _LINE) for comparison in planned.comparisons]
    drawing = Figure(figsize=(figure.PAGE, 0.6 + 0.25 * len(questions)), layout="constrained")
    panels = drawing.subplots(1, len(planned.tests), sharex=True, sharey=True, squeeze=False)[0]
    for panel, test in zip(panels, planned.tests, strict=True):
        _panel(panel, answers[test])
        panel.set_title(f"{results_name(test)}\n{answers[test][0].difference.n_images} images")
        figure.label_axis(panel.xaxis, planned.metric, METRICS[planned.metric], "change of {}")
    panels[0].set_yticks(range(len(questions), 0, -1), questions)
    return drawing


def _panel(panel: "Axes", answers: "Sequence[Answer]") -> None:
    color = figure.COLORS[0]
    for y, one in zip(range(len(answers), 0, -1), answers, strict=True):
        panel.plot([one.difference.low, one.difference.high], [y, y], color=color)
        panel.plot(one.difference.mean, y, "o", color=color, markerfacecolor=color if one.p < SIGNIFICANT else "white")
    panel.axvline(0, color="0.3", linewidth=0.8, zorder=0.6)
    panel.grid(axis="x")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.locator_params(axis="x", nbins=4)
