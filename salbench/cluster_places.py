"""How a cluster is reached or started."""

import asyncio
import logging
import re
import shutil
import signal
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster

from salbench.cluster import ClusterProblem, Dask

_CONNECT = 30  # seconds to wait for a scheduler
_QUEUES = {
    "slurm": "SLURMCluster", "pbs": "PBSCluster", "sge": "SGECluster", "lsf": "LSFCluster", "oar": "OARCluster",
    "moab": "MoabCluster", "htcondor": "HTCondorCluster",
}  # fmt: skip
_SETTINGS = "queue", "jobs", "settings"
_STOPPING = {signal.SIGINT, signal.SIGTERM}
# Networks free and take large arrays for each image. With Dask's small threshold, which returns them to the system each
# time, half of the time goes into page faults.
_MALLOC = {"MALLOC_TRIM_THRESHOLD_": 256 * 2**20, "MALLOC_MMAP_THRESHOLD_": 32 * 2**20}
_LOGGERS = "distributed", "distributed.client", "tornado", "tornado.application", "asyncio"  # Dask sets each level
log = logging.getLogger(__name__)


def check(place: str) -> None:
    """Raise `ClusterProblem` if this is no place, names a file that is missing, or one with wrong settings."""
    path = Path(place).expanduser()
    if path.suffix == ".toml":
        _queue_settings(path)
    elif path.suffix == ".json":
        if not path.is_file():
            raise ClusterProblem(
                f"{path}: no such file; start a scheduler with: dask scheduler --scheduler-file {path}"
            )
    elif not re.fullmatch(r"local:0*[1-9]\d*|(tcp|tls)://.+", place):
        raise ClusterProblem(
            f"--cluster: expected local:N, tcp://HOST:PORT, a scheduler's .json file or a .toml file, got {place!r}"
        )


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
        ClusterProblem: see `check`; or a scheduler that does not answer, a queue that takes no job, or no GPU.
        ModuleNotFoundError: dask-jobqueue is needed and missing.
    """
    check(place)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters to the user is raised
    log.info("cluster: connecting to %s", place)
    with _client(place, dashboard) as client:
        if dashboard:
            log.info("dashboard: %s", client.dashboard_link)
        executor = Dask(client, list(paths), gpu=gpu)
        log.info("cluster: waiting for the first worker")
        executor.wait()
        yield executor


@contextmanager
def _client(place: str, dashboard: bool) -> Iterator[Client]:
    kind, _, number = place.partition(":")
    path = Path(place).expanduser()
    if kind == "local":
        with _local(int(number), dashboard) as client:
            yield client
    elif path.suffix == ".toml":
        with started_by_queue(path) as started, Client(started) as client:
            yield client
    else:
        with _reached(place, path) as client:
            yield client


@contextmanager
def _local(number: int, dashboard: bool) -> Iterator[Client]:
    settings: dict[str, Any] = {f"distributed.nanny.pre-spawn-environ.{name}": v for name, v in _MALLOC.items()}
    # A worker that ended is started again by the process that watches it, which Dask would give up after 15 seconds: on
    # a busy machine or a slow disk, importing takes longer.
    settings["distributed.deploy.lost-worker-timeout"] = "24 hours"
    with dask.config.set(settings), ExitStack() as opened:
        with _signals_wait():  # a signal in the middle would leave processes that nobody can end
            started = LocalCluster(
                n_workers=0, threads_per_worker=1, silence_logs=logging.CRITICAL,
                memory_limit=1 / number,  # Dask divides the memory only among workers that it starts itself
                dashboard_address=":0" if dashboard else None,  # importing it takes two seconds
            )  # fmt: skip
            opened.enter_context(started)
            client = opened.enter_context(Client(started))
        try:
            _start_workers(started, number)
        except RuntimeError as error:
            raise ClusterProblem(
                f"local:{number}: the processes did not start ({error}); perhaps memory is short: use fewer"
            ) from error
        yield client


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep SIGINT and SIGTERM for later. Threads and processes that are started here never get them.

    Ctrl-C and batch systems send them to all processes of a command, but they are for the client: it ends the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # when it starts, it lets signals through again
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _start_workers(cluster: Any, number: int) -> None:
    """Start workers and wait for them.

    Not with `cluster.scale`, which loses errors, nor with `cluster.sync`: after Ctrl-C it forgets those that are
    starting, so they could not be ended.
    """

    async def start() -> None:
        await cluster._correct_state()

    for _ in range(number):
        cluster.worker_spec.update(cluster.new_worker_spec())
    asyncio.run_coroutine_threadsafe(start(), cluster.loop.asyncio_loop).result()


def _reached(place: str, path: Path) -> Client:
    where = {"scheduler_file": str(path)} if path.suffix == ".json" else {"address": place}
    try:
        return Client(**where, timeout=_CONNECT)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterProblem(f"{place}: no scheduler answers there; start one with: dask scheduler") from error


@contextmanager
def started_by_queue(path: Path) -> Iterator[Any]:
    """Start a cluster through a queue such as SLURM, with the settings in a file.

    The file names the queue and the number of jobs at once. The other settings go to dask-jobqueue's class for this
    queue, see https://jobqueue.dask.org. A job that ends early, such as at its time limit, is replaced::

        queue = "slurm"          # or pbs, sge, lsf, oar, moab, htcondor
        jobs = 10

        [settings]
        cores = 8                # threads of a job; with processes = 8 each has a process of its own
        processes = 8
        memory = "32GB"
        walltime = "04:00:00"

    Raises:
        ClusterProblem: no such file, not TOML, an unknown queue, settings that dask-jobqueue does not take, or a queue
            that takes no job.
        ModuleNotFoundError: dask-jobqueue is missing.
    """
    import dask_jobqueue

    given = _queue_settings(path)
    settings = {"scheduler_options": {"dashboard_address": ":0"}, **given["settings"]}
    exports = [f"export {name}={value}" for name, value in _MALLOC.items()]
    settings["job_script_prologue"] = [*exports, *settings.get("job_script_prologue", [])]
    kind = getattr(dask_jobqueue, _QUEUES[given["queue"]])
    command = kind.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise ClusterProblem(f"{path}: no command {command} here; start salbench where you submit jobs")
    try:
        cluster = kind(**settings)
    except (TypeError, ValueError) as error:
        raise ClusterProblem(f"{path}: [settings]: {_first_sentence(error)}; see https://jobqueue.dask.org") from error
    try:
        _submit(cluster, given["jobs"], f"{path}: {command}")
        yield cluster
    finally:
        with suppress(Exception):  # a job that never started cannot be closed
            cluster.close()


def _submit(cluster: Any, jobs: int, name: str) -> None:
    try:
        _start_workers(cluster, jobs)
    except RuntimeError as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ClusterProblem(f"{name} took no job: {said[-1] if said else 'no reason given'}") from error
    log.info("cluster: submitted %d jobs", jobs)
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # replaces those that end


def _first_sentence(error: Exception) -> str:
    """What dask-jobqueue says first; the rest is about its Python interface."""
    return re.split(r"\. |\n", str(error).strip())[0].replace("keyword argument", "key")


def _queue_settings(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClusterProblem(f"{path}: expected a TOML file with queue, jobs and [settings]: {error}") from error
    for name in set(given) ^ set(_SETTINGS):
        problem = "unknown key" if name in given else "missing"
        raise ClusterProblem(f"{path}: expected queue, jobs and [settings]; {problem}: {name}")
    if given["queue"] not in _QUEUES:
        raise ClusterProblem(f"{path}: queue: expected one of {', '.join(_QUEUES)}, got {given['queue']!r}")
    if type(given["jobs"]) is not int or given["jobs"] < 1:
        raise ClusterProblem(f"{path}: jobs: expected a whole number of at least 1, got {given['jobs']!r}")
    if not isinstance(given["settings"], dict):
        raise ClusterProblem(f"{path}: expected a table [settings], got {given['settings']!r}")
    return given
