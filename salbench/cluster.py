"""Work on a Dask cluster.

Every worker needs salbench in the client's version and the client's folders under the same paths. It checks both before
its first unit. It loads what units share, such as a method with its weights, once. Small units travel in groups that
take about `SECONDS`, so the cost of a task does not show.
"""

import hashlib
import io
import os
import pickle
import platform
import socket
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import cloudpickle
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm import CommClosedError
from threadpoolctl import threadpool_limits

import salbench
from salbench import augment, registry
from salbench.executors import AHEAD, Executor, Lost, Shared, Unit
from salbench.files import hash_bytes

SECONDS = 0.5  # what a task should take; its overhead is about a hundredth
_LARGEST = 256  # units in one task
_CHECKED = "numpy", "scipy", "numba", "pillow", "torch"  # packages that scores depend on
_ATTEMPTS = 2  # to do a unit by itself; Dask starts each on several workers in turn
_KEPT = 2  # pieces of work that a worker keeps loaded
_POLL = 1.0  # seconds between two looks at the number of workers
_PATIENCE = 10.0  # seconds without a result before a look at whether there are workers
_DESERTED = 300.0  # seconds without a worker after which a local cluster will have none again; importing can take long


class ClusterProblem(ConnectionError):
    """The cluster cannot be used. The message says what is wrong where, and what to do."""


@dataclass(frozen=True)
class Site:
    """What the client's process has, and every worker must have too.

    Attributes:
        folder: working folder; relative paths start there.
        environment: variables of salbench.
        paths: files and folders that work reads or writes.
        versions: {package: version} of this process.
        methods, augmentations: folders of the user's own.
    """

    folder: Path
    environment: Mapping[str, str]
    paths: Sequence[Path]
    versions: Mapping[str, str]
    methods: Sequence[Path]
    augmentations: Sequence[Path]

    @classmethod
    def here(cls, paths: Iterable[Path]) -> "Site":
        """The site of this process. Of `paths`, those that exist must be on the workers."""
        environment = {name: value for name, value in os.environ.items() if name.startswith("SALBENCH_")}
        named = [Path(value).expanduser() for value in environment.values()]
        present = [path.absolute() for path in (*paths, *named) if path.exists()]
        return cls(Path.cwd(), environment, present, _OURS, registry.own_folders(), augment.own_folders())

    def enter(self) -> None:
        """Make a worker's process work like the client's.

        Raises:
            ClusterProblem: another version of a package, or a path that the worker does not have.
        """
        host = socket.gethostname()
        for package, wanted in self.versions.items():
            found = _OURS.get(package, "none")
            if found != wanted:
                raise ClusterProblem(
                    f"worker on {host}: expected {package} {wanted}, as on the client, got {found}; install the same "
                    "versions on both and restart the workers"
                )
        for path in (self.folder, *self.paths):
            if not path.exists():
                raise ClusterProblem(
                    f"worker on {host}: {path} does not exist there, but on the client it does; mount the same file "
                    "system under the same path on all machines"
                )
        os.chdir(self.folder)
        os.environ.update(self.environment)
        registry.replace_own_folders(self.methods)
        augment.replace_own_folders(self.augmentations)


def _versions() -> dict[str, str]:
    files = sorted(Path(salbench.__file__).parent.rglob("*.py"))
    code = hash_bytes(*(file.read_bytes() for file in files))  # a clone changes without a new version
    found = {"python": platform.python_version(), "salbench": f"{salbench.__version__} (code {code})"}
    for package in _CHECKED:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


_OURS = _versions()  # of the code that this process has loaded; the files may change while a worker lives


class Dask(Executor):
    """The workers of a Dask cluster.

    Args:
        client: connected to the scheduler.
        paths: files and folders of the command; see `Site.here`.
        gpu: use only workers that offer the resource GPU, one unit at a time for each.
    """

    def __init__(self, client: Client, paths: Sequence[Path] = (), *, gpu: bool = False) -> None:
        self.client, self.paths = client, paths
        self.resources = {"GPU": 1} if gpu else None
        self.n_open = 0  # calls of `map` that have not ended; units of a call inside another one go first
        self._slots, self._looked = 0, -_POLL

    @property
    def status(self) -> str:
        """Number of workers."""
        return f"{self._slots} worker{'s' * (self._slots != 1)}"

    def wait(self) -> None:
        """Wait for the first worker.

        Raises:
            ClusterProblem: a worker lacks salbench, or no worker that has come offers a GPU, and one is needed.
        """
        self.client.wait_for_workers(1)
        self.check()
        if not self._count():
            raise ClusterProblem(
                "expected a worker that offers a GPU, found none; start one process per GPU with: "
                "dask worker ADDRESS --nthreads 1 --resources GPU=1"
            )

    def check(self) -> None:
        """Raise `ClusterProblem` if a worker cannot import salbench."""
        found = self.client.run(import_module, __name__, on_error="return")
        for address, error in found.items():
            if isinstance(error, ImportError):  # a lost connection is no reason to stop
                raise ClusterProblem(
                    f"worker {address}: cannot import salbench ({error}); install salbench[cluster] "
                    f"{salbench.__version__} in the Python that starts the workers"
                )

    def _count(self) -> int:
        """Number of units that can run at once."""
        now = time.monotonic()
        if now - self._looked >= _POLL:
            info = self.client.scheduler_info(n_workers=-1)
            if "workers" not in info:  # so it is after the connection was lost
                raise CommClosedError
            workers = info["workers"].values()
            counts = [w["resources"].get("GPU", 0) if self.resources else w["nthreads"] for w in workers]
            self._slots, self._looked = int(sum(counts)), now
        return self._slots

    def result(self, future: Future) -> Any:
        """Wait for the result of a task.

        Raises:
            ClusterProblem: a local cluster has had no process for minutes. Workers of other clusters may come later.
            Exception: what the task raised.
        """
        last_seen = time.monotonic()
        while True:
            try:
                return future.result(timeout=_PATIENCE)
            except TimeoutError:
                if future.done():  # it has ended since, or raised this itself
                    return future.result()
            if self._count() or not isinstance(self.client.cluster, LocalCluster):
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > _DESERTED:
                raise ClusterProblem(
                    "all worker processes of this machine have ended and do not start again, perhaps because memory is "
                    "short: use fewer (--cluster local:N). Finished work is kept; rerun the same command to resume"
                )

    def map(
        self, function: Callable[[Shared, Unit], Any], shared: Shared, units: Iterable[Unit]
    ) -> Generator[tuple[Unit, Any]]:
        """See `Executor.map`."""
        with _scheduler_must_answer(), _Tasks(self, function, shared) as tasks:
            waiting, running = iter(units), deque[tuple[list[Unit], Future]]()
            while True:
                while len(running) < AHEAD * max(self._count(), 1) and (group := list(islice(waiting, tasks.size))):
                    running.append((group, tasks.start(group)))
                if not running:
                    return
                group, future = running.popleft()
                yield from zip(group, tasks.results(group, future), strict=True)


@contextmanager
def _scheduler_must_answer() -> Iterator[None]:
    try:
        yield
    except (CommClosedError, CancelledError, TimeoutError) as error:
        raise ClusterProblem(
            "the cluster's scheduler stopped answering. Finished work is kept; rerun the same command to resume"
        ) from error


class _Tasks:
    """The tasks of one call of `map`. `size` is the number of units that the next task should have."""

    def __init__(self, executor: Dask, function: Callable[..., Any], shared: Any) -> None:
        self.size = 1
        self._executor, self._client = executor, executor.client
        self._work = pickle.dumps((Site.here(executor.paths), _dumps((function, shared))))
        self._digest = hashlib.blake2b(self._work, digest_size=16).hexdigest()
        self._futures: set[Future] = set()

    def __enter__(self) -> "_Tasks":
        self._executor.n_open += 1
        self._share()
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.n_open -= 1
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel([*self._futures, self._shared])

    def _share(self) -> None:
        with warnings.catch_warnings(action="ignore"):  # about its size; each worker gets it once
            self._shared = self._client.submit(_same, self._work, pure=False)

    def start(self, group: list[Any]) -> Future:
        future = self._client.submit(
            _run, self._shared, self._digest, cloudpickle.dumps(group), pure=False,
            resources=self._executor.resources, priority=self._executor.n_open,
        )  # fmt: skip
        self._futures.add(future)
        return future

    def results(self, group: list[Any], future: Future) -> list[Any]:
        """The results of a task. If it ended its workers, each of its units is tried by itself."""
        try:
            seconds, results = self._executor.result(future)
        except KilledWorker:
            return [self._alone(unit) for unit in group]
        finally:
            self._futures.discard(future)
        wanted = len(group) * SECONDS / max(seconds, 1e-6)
        self.size = max(1, min(int(wanted), 2 * self.size, _LARGEST))
        return results

    def _alone(self, unit: Any) -> Any:
        for _ in range(_ATTEMPTS):  # the worker may have been ended by another unit
            self._share()  # Dask may blame the old one, if the worker ended before it could tell that it had it
            future = self.start([unit])
            try:
                _, (result,) = self._executor.result(future)
            except KilledWorker:
                self._executor.check()
            else:
                return result
            finally:
                self._futures.discard(future)
        return Lost("ended every worker that tried it, perhaps because it needs more memory than a worker has")


class _Pickler(cloudpickle.Pickler):
    """Sends methods as what was typed; see `registry.reduced`. Their copies within a process keep everything."""

    def reducer_override(self, obj: Any) -> Any:
        return registry.reduced(obj) if isinstance(obj, registry.SaliencyMethod) else super().reducer_override(obj)


def _dumps(value: Any) -> bytes:
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def _same(work: bytes) -> bytes:
    return work


_loaded: dict[str, tuple[Callable[..., Any], Any]] = {}
_loading = Lock()


def _run(work: bytes, digest: str, group: bytes) -> tuple[float, list[Any]]:
    """On a worker: the seconds that a group of units takes, and their results."""
    function, shared = _load(work, digest)
    start = time.perf_counter()
    results = [function(shared, unit) for unit in pickle.loads(group)]
    return time.perf_counter() - start, results


def _load(work: bytes, digest: str) -> tuple[Callable[..., Any], Any]:
    """What units share: loaded once for each worker process, the least recent forgotten."""
    with _loading:
        if digest not in _loaded:
            site, content = pickle.loads(work)
            site.enter()  # before the methods of the user are looked for
            threadpool_limits(1, user_api="blas")
            while len(_loaded) >= _KEPT:
                del _loaded[next(iter(_loaded))]
            _loaded[digest] = pickle.loads(content)
        return _loaded[digest]
