"""Where work is done: by threads of this process, or by the workers of a cluster.

Work is a function, what all its calls share (such as a method), and many small units (such as batches of images). An
executor returns the results in the order of the units, so files that are written from them do not depend on who
finished first.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

AHEAD = 2  # units begun for each worker and not yet taken
Shared = TypeVar("Shared")
Unit = TypeVar("Unit")


@dataclass(frozen=True)
class Lost:
    """The result of a unit that ended the processes that tried it.

    Attributes:
        reason: what happened, for the user.
    """

    reason: str


class Executor(ABC):
    """Does work in some place. Make it known to `current` with `using`."""

    @abstractmethod
    def map(
        self, function: Callable[[Shared, Unit], Any], shared: Shared, units: Iterable[Unit]
    ) -> Generator[tuple[Unit, Any]]:
        """Call a function with each unit.

        Args:
            function: called with `shared` and one unit, perhaps in another process.
            shared: given to each worker once.
            units: read as workers become free, so their number is not limited by memory.

        Yields:
            (unit, result) in the order of the units. The result is `Lost` if the unit ended its process. Close the
            iterator (`contextlib.closing`) if you may leave it early.

        Raises:
            Exception: what `function` raised.
        """

    @property
    def status(self) -> str:
        """What a progress bar says about the workers; "" if nothing."""
        return ""


class Threads(Executor):
    """Threads of this process. They are enough, because decoding, NumPy, torch and the metric kernels release the GIL.

    Args:
        workers: their number. At most `AHEAD` units for each are in memory.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(
        self, function: Callable[[Shared, Unit], Any], shared: Shared, units: Iterable[Unit]
    ) -> Generator[tuple[Unit, Any]]:
        """See `Executor.map`; no result is `Lost`."""
        pool = ThreadPoolExecutor(self.workers)
        try:
            # Every worker is busy with units of its own; BLAS threads on top would only wait for each other.
            with threadpool_limits(1, user_api="blas"):
                running: deque[tuple[Unit, Future[Any]]] = deque()
                for unit in units:
                    if len(running) == AHEAD * self.workers:
                        yield _taken(running)
                    running.append((unit, pool.submit(function, shared, unit)))
                while running:
                    yield _taken(running)
        finally:
            pool.shutdown(cancel_futures=True)


def _taken(running: deque[tuple[Unit, Future[Any]]]) -> tuple[Unit, Any]:
    unit, future = running.popleft()
    return unit, future.result()


class OnFirstUse(Executor):
    """An executor that is made when there is work, such as a cluster that takes long to start.

    Args:
        make: returns the executor; called once.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._made: Executor | None = None

    def map(
        self, function: Callable[[Shared, Unit], Any], shared: Shared, units: Iterable[Unit]
    ) -> Generator[tuple[Unit, Any]]:
        """See `Executor.map`."""
        if self._made is None:
            self._made = self._make()
        return self._made.map(function, shared, units)

    @property
    def status(self) -> str:
        """That of the executor, once it is made."""
        return self._made.status if self._made else ""


_cluster: ContextVar[Executor | None] = ContextVar("cluster", default=None)


@contextmanager
def using(cluster: Executor) -> Iterator[None]:
    """Inside this context, work goes to a cluster."""
    token = _cluster.set(cluster)
    try:
        yield
    finally:
        _cluster.reset(token)


def cluster() -> Executor | None:
    """The executor of the innermost `using`, or None if work stays in this process."""
    return _cluster.get()
