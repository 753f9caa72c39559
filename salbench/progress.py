"""The progress bar of a long command: how fast units are finished, on how many workers, and how many failed."""

from tqdm import tqdm

from salbench import executors


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar that says, behind its rate, how many workers a cluster has and how many units failed.

    Args:
        name: what is worked on.
        total: number of units.
        done: how many of them an earlier command has finished.
        unit: what is counted.
        shown: whether there is a bar at all.
    """

    def __init__(self, name: str, total: int, *, done: int = 0, unit: str = "image", shown: bool = True) -> None:
        self.n_failed = 0
        super().__init__(desc=name, total=total, initial=done, unit=unit, disable=not shown)

    def advance(self, *, failed: bool = False) -> None:
        """Count one more unit."""
        self.n_failed += failed
        used = executors.cluster()
        parts = [used.status if used else "", f"{self.n_failed} failed" if self.n_failed else ""]
        self.set_postfix_str(", ".join(filter(None, parts)), refresh=False)
        self.update()
