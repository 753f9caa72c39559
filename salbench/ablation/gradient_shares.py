"""How much each loss on edited images taught, from the logs of an ablation's trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from salbench.ablation.splits import Ablation
from salbench.training.gradients import OF_ORIGINALS, PREFIX

if TYPE_CHECKING:
    import pandas


def shares(checkpoints: Path | str, ablation: Ablation) -> pandas.DataFrame:
    """Norms of the gradients of edit losses, divided by that of all that is learned from original images.

    Args:
        checkpoints: folder of the trainings, as given to `ablate`.
        ablation: what was trained.

    Returns:
        method, arm, loss, share (median over seeds and the epochs in which it was measured) and seeds; empty if no
        training had edits.
    """
    import pandas

    paths = sorted((Path(checkpoints) / ablation.checkpoints).glob("*/*/seed*/log.csv"))
    logs = [log for path in paths if not (log := _of_one(path)).empty]
    columns = ["method", "arm", "loss", "share", "seeds"]
    if not logs:
        return pandas.DataFrame(columns=columns)
    found = pandas.concat(logs).groupby(["method", "arm", "loss"], sort=False)
    return found.agg(share=("share", "median"), seeds=("seed", "nunique")).reset_index()[columns]


def _of_one(log: Path) -> pandas.DataFrame:
    """method, arm, seed, loss and share in each epoch of one training; no rows for a training without edits."""
    import pandas

    norms = pandas.read_csv(log).filter(like=PREFIX).dropna()
    if norms.empty:
        return norms
    of_losses = norms.drop(columns=OF_ORIGINALS).rename(columns=lambda name: name.removeprefix(PREFIX))
    shares = of_losses.div(norms[OF_ORIGINALS], axis=0).melt(var_name="loss", value_name="share")
    method, arm, seed = log.parts[-4:-1]
    return shares.assign(method=method, arm=arm, seed=seed)


def table(checkpoints: Path | str, ablation: Ablation) -> str:
    """The shares as a Markdown table with a note; an empty string if no training had edits."""
    found = shares(checkpoints, ablation)
    if found.empty:
        return ""
    body = [[row.method, row.arm, row.loss, f"{row.share:.3f}"] for row in found.itertuples()]
    note = (
        f"Norm of each loss's gradient on edited images, divided by that of all that is learned from originals: median "
        f"over epochs and {found.seeds.max()} seeds. A loss with a small share teaches little."
    )
    return f"{tabulate(body, ['method', 'arm', 'loss', 'share'], 'github', disable_numparse=True)}\n\n- {note}\n"
