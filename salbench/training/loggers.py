"""What a training writes after every epoch, beside its checkpoints: nothing, log.csv, or events for TensorBoard."""

import csv
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from salbench.writing import atomic_write

History = Sequence[Mapping[str, float]]  # a row per epoch: its number, loss, validation scores and seconds
Logger = Callable[[Path, History], None]  # is given the folder of the training, and all its epochs so far


def named(name: str) -> Logger:
    """A logger by name.

    Raises:
        ValueError: there is no such logger.
        ModuleNotFoundError: "tensorboard" needs the package tensorboard.
    """
    if name not in LOGGERS:
        raise ValueError(f"logger: expected one of {', '.join(LOGGERS)}, got {name!r}")
    if name == "tensorboard":
        import torch.utils.tensorboard  # noqa: F401 - says what is missing before the first epoch
    return LOGGERS[name]


def _nothing(folder: Path, history: History) -> None:
    pass


def _to_csv(folder: Path, history: History) -> None:
    """Write log.csv, a line per epoch."""
    with atomic_write(folder / "log.csv") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def _to_tensorboard(folder: Path, history: History) -> None:
    """Write the scalars of the last epoch. Its file has another name than TensorBoard's, which holds the host's."""
    from torch.utils.tensorboard import SummaryWriter

    events, epoch = folder / "tensorboard", history[-1]["epoch"]
    events.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=events, prefix=".") as scratch:
        with SummaryWriter(scratch) as writer:
            for name, value in history[-1].items():
                writer.add_scalar(name, value, epoch)
        (written,) = Path(scratch).iterdir()
        os.replace(written, events / f"events.out.tfevents.{epoch:010.0f}")  # TensorBoard reads them by name


LOGGERS: dict[str, Logger] = {"none": _nothing, "csv": _to_csv, "tensorboard": _to_tensorboard}
