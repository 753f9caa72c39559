"""Work on a Dask cluster: the executor, and how a cluster is reached or started.

Every worker needs salbench in the client's version and the client's folders under the same paths. It checks both before
its first unit. It loads what units share, such as a method with its weights, once. Small units travel in groups that
take about `SECONDS`, so the cost of a task does not show.
"""

import hashlib
import logging
import os
import pickle
import platform
import socket
import time
import tomllib
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
import dask
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
_CONNECT = 30  # seconds to wait for a scheduler
_QUEUES = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster", "oar": "OARCluster",
    "moab": "MoabCluster", "htcondor": "HTCondorCluster",
}  # fmt: skip
# Networks free and take large arrays for each image. With Dask's small threshold, which returns them to the system each
# time, half of the time goes into page faults.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 256 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20}
log = logging.getLogger(__name__)


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
            if isinstance(error, Exception):
                raise ClusterProblem(
                    f"worker {address}: cannot import salbench ({error}); install salbench[cluster] "
                    f"{salbench.__version__} in the Python that starts the workers"
                )

    def _count(self) -> int:
        """Number of units that can run at once."""
        now = time.monotonic()
        if now - self._looked >= _POLL:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
            counts = [w["resources"].get("GPU", 0) if self.resources else w["nthreads"] for w in workers]
            self._slots, self._looked = int(sum(counts)), now
        return self._slots

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
        raise ClusterProblem(f"the cluster's scheduler does not answer any more ({type(error).__name__})") from error


class _Tasks:
    """The tasks of one call of `map`. `size` is the number of units that the next task should have."""

    def __init__(self, executor: Dask, function: Callable[..., Any], shared: Any) -> None:
        self.size = 1
        self._executor, self._client = executor, executor.client
        self._work = pickle.dumps((Site.here(executor.paths), cloudpickle.dumps((function, shared))))
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
            seconds, results = future.result()
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
                _, (result,) = future.result()
            except KilledWorker:
                self._executor.check()
            else:
                return result
            finally:
                self._futures.discard(future)
        return Lost("ended every worker that tried it, perhaps because it needs more memory than a worker has")


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


@contextmanager
def connect(place: str, paths: Iterable[Path] = (), *, gpu: bool = False, dashboard: bool = False) -> Iterator[Dask]:
    """Reach or start a cluster; what was started here is stopped at the end.

    Args:
        place: "local:N" starts N processes on this machine; "tcp://HOST:PORT" or a scheduler's .json file names a
            cluster that runs; a .toml file says how to start one with dask-jobqueue, see `started_by_queue`.
        paths: files and folders of the command. Those that exist must be on every worker.
        gpu: use only workers that offer the resource GPU.
        dashboard: log the address of Dask's dashboard.

    Raises:
        ClusterProblem: an unknown kind of place, a scheduler that does not answer, or no GPU.
        ModuleNotFoundError: dask-jobqueue is needed and missing.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters to the user is raised
    with _client(place) as client:
        log.info("cluster: waiting for the first worker of %s", place)
        if dashboard:
            log.info("dashboard: %s", client.dashboard_link)
        executor = Dask(client, list(paths), gpu=gpu)
        executor.wait()
        yield executor


@contextmanager
def _client(place: str) -> Iterator[Client]:
    kind, _, number = place.partition(":")
    path = Path(place).expanduser()
    if kind == "local" and number.isdecimal() and int(number):
        with (
            dask.config.set({f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in _MALLOC.items()}),
            LocalCluster(
                n_workers=int(number), threads_per_worker=1, silence_logs=logging.CRITICAL, dashboard_address=":0"
            ) as started,
            Client(started) as client,
        ):
            yield client
    elif path.suffix == ".toml":
        with started_by_queue(path) as started, Client(started) as client:
            yield client
    elif kind in ("tcp", "tls") or path.suffix == ".json":
        with _reached(place, path) as client:
            yield client
    else:
        raise ClusterProblem(
            f"--cluster: expected local:N, tcp://HOST:PORT, a scheduler's .json file or a .toml file, got {place!r}"
        )


def _reached(place: str, path: Path) -> Client:
    where = {"scheduler_file": str(path)} if path.suffix == ".json" else {"address": place}
    if "scheduler_file" in where and not path.is_file():
        raise ClusterProblem(f"{path}: no such file; start a scheduler with: dask scheduler --scheduler-file {path}")
    try:
        return Client(**where, timeout=_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterProblem(
            f"{place}: no scheduler answers there ({error}); start one with: dask scheduler"
        ) from error


@contextmanager
def started_by_queue(path: Path) -> Iterator[Any]:
    """Start a cluster through a queue such as SLURM, with the settings in a file.

    The file names the queue and the number of jobs that run at once. The other settings go to dask-jobqueue's class for
    this queue, see https://jobqueue.dask.org. A job that ends early, such as at its time limit, is replaced::

        queue = "slurm"          # or pbs, sge, lsf, oar, moab, htcondor
        jobs = 10

        [settings]
        cores = 8                # threads of a job; with processes = 8 each has a process of its own
        processes = 8
        memory = "32GB"
        walltime = "04:00:00"

    Raises:
        ClusterProblem: no such file, not TOML, an unknown queue, or settings that dask-jobqueue does not take.
        ModuleNotFoundError: dask-jobqueue is missing.
    """
    import dask_jobqueue

    given = _queue_settings(path)
    settings = {"scheduler_options": {"dashboard_address": ":0"}, **given["settings"]}
    exports = [f"export {name}={value}" for name, value in _MALLOC.items()]
    settings["job_script_prologue"] = [*exports, *settings.get("job_script_prologue", [])]
    try:
        cluster = getattr(dask_jobqueue, _QUEUES[given["queue"]])(**settings)
    except (TypeError, ValueError) as error:
        raise ClusterProblem(f"{path}: {error}; see https://jobqueue.dask.org") from error
    with cluster:
        cluster.adapt(minimum_jobs=given["jobs"], maximum_jobs=given["jobs"])
        yield cluster


def _queue_settings(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClusterProblem(f"{path}: expected a TOML file with queue, jobs and [settings]: {error}") from error
    wrong = set(given) ^ {"queue", "jobs", "settings"}
    if wrong:
        raise ClusterProblem(f"{path}: expected queue, jobs and [settings], got {', '.join(given) or 'nothing'}")
    if given["queue"] not in _QUEUES:
        raise ClusterProblem(f"{path}: queue: expected one of {', '.join(_QUEUES)}, got {given['queue']!r}")
    if type(given["jobs"]) is not int or given["jobs"] < 1:
        raise ClusterProblem(f"{path}: jobs: expected a whole number of at least 1, got {given['jobs']!r}")
    if not isinstance(given["settings"], dict):
        raise ClusterProblem(f"{path}: expected a table [settings], got {given['settings']!r}")
    return given
