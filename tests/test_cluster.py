"""Work on a cluster of processes: its order, what ends its workers, and what a user is told."""

import itertools
import operator
import os
import random
import signal
import threading
import time
from contextlib import closing

import dask
import pytest
from distributed import Client, wait
from distributed.core import Status
from forked_workers import local_cluster, workers_are_forks
from runs import PLAIN, evaluation_of, files_of, rows_of

from salbench import cluster, cluster_places, executors
from salbench.cluster import ClusterProblem, Dask, Site
from salbench.cluster_places import connect
from salbench.executors import Lost, Threads


@pytest.fixture(scope="module")
def address():
    """Address of a cluster of two processes."""
    with local_cluster(2) as started:
        yield started.scheduler_address


@pytest.fixture
def workers(address):
    with connect(address) as executor:
        yield executor


def _scaled(factor, unit):
    time.sleep(0.005 * (unit % 3))  # later units finish first
    return factor * unit


def _pid(_, unit):
    time.sleep(0.01)
    return os.getpid()


def _ends_at(bad, unit):
    if unit in bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit


class TestMap:
    @pytest.mark.parametrize("number", [0, 1, 100])
    def test_results_are_in_the_order_of_the_units(self, workers, number):
        expected = [(unit, 3 * unit) for unit in range(number)]
        assert list(workers.map(_scaled, 3, range(number))) == expected
        assert list(Threads(2).map(_scaled, 3, range(number))) == expected

    def test_all_workers_take_part(self, workers):
        assert len({pid for _, pid in workers.map(_pid, None, range(200))} - {os.getpid()}) == 2

    def test_units_are_read_as_workers_become_free(self, workers):
        read = []
        with closing(workers.map(_scaled, 1, (read.append(n) or n for n in range(10**6)))) as results:
            for _ in range(5):
                next(results)
        assert len(read) < 1000

    def test_an_error_of_the_function_is_raised(self, workers):
        with pytest.raises(ZeroDivisionError):
            list(workers.map(_divided, 1, [0]))
        assert list(workers.map(_scaled, 2, [4])) == [(4, 8)]  # it goes on working

    def test_a_map_inside_another_one(self, workers):
        found = [(unit, dict(workers.map(_scaled, unit, range(3)))) for unit, _ in workers.map(_scaled, 1, range(4))]
        assert found == [(unit, {n: n * unit for n in range(3)}) for unit in range(4)]


def _divided(shared, unit):
    return shared / unit


@pytest.mark.slow
def test_a_unit_that_ends_its_process_is_lost_and_no_other():
    """With one attempt for each task; by default there are four. Dask would not wait until the process is back."""
    settings = {"distributed.scheduler.allowed-failures": 0, "distributed.deploy.lost-worker-timeout": "1ms"}
    with workers_are_forks(), dask.config.set(settings), connect("local:1") as executor:
        results = dict(executor.map(_ends_at, {2}, range(4)))
    assert isinstance(results.pop(2), Lost)
    assert results == {unit: unit for unit in (0, 1, 3)}


@pytest.mark.slow
def test_no_process_can_be_started_again(monkeypatch):
    """With waits of parts of a second."""
    for name, seconds in {"_POLL": 0.05, "_PATIENCE": 0.05, "_DESERTED": 0.3}.items():
        monkeypatch.setattr(cluster, name, seconds)
    with (
        workers_are_forks(),
        connect("local:1") as executor,
        closing(executor.map(_scaled, 1, itertools.count())) as results,
    ):
        next(results)
        (nanny,) = executor.client.cluster.workers.values()
        executor.client.cluster.sync(nanny.close)
        with pytest.raises(ClusterProblem, match="all worker processes of this machine have ended"):
            list(results)


def test_processes_that_do_not_start():
    with (
        workers_are_forks(),
        dask.config.set({"distributed.worker.preload": ["import os; os._exit(1)"]}),
        pytest.raises(ClusterProblem, match="local:1: the processes did not start"),
        connect("local:1"),
    ):
        pass


def test_a_result_that_comes_late_is_taken(workers, monkeypatch):
    future = workers.client.submit(_scaled, 2, 4, pure=False)
    wait(future)
    taken = iter([TimeoutError, None])

    def result(timeout=None):
        if error := next(taken):
            raise error
        return 8

    monkeypatch.setattr(future, "result", result)
    assert workers.result(future) == 8


def test_a_timeout_in_a_task_is_raised_as_it_is(workers):
    with pytest.raises(TimeoutError, match="in the task"):
        workers.result(workers.client.submit(_out_of_time, pure=False))


def _out_of_time():
    raise TimeoutError("in the task")


class TestSite:
    def test_a_worker_without_salbench(self, address, monkeypatch):
        monkeypatch.setattr(cluster, "__name__", "salbench.missing")
        message = r"worker tcp://.*: cannot import salbench \(No module named 'salbench.missing'\); install"
        with Client(address) as client, pytest.raises(ClusterProblem, match=message):
            Dask(client).check()

    def test_other_versions_are_refused(self, monkeypatch):
        site = Site.here([])
        monkeypatch.setattr(cluster, "_OURS", {**cluster._OURS, "numpy": "0.1"})
        with pytest.raises(ClusterProblem, match=r"worker on .*: expected numpy .*, got 0\.1; install the same"):
            site.enter()

    def test_a_folder_that_a_worker_does_not_see(self, tmp_path, monkeypatch):
        (tmp_path / "data").mkdir()
        site = Site.here([tmp_path / "data", tmp_path / "new"])
        (tmp_path / "data").rmdir()
        with pytest.raises(ClusterProblem, match=r"worker on .*data does not exist there, .*mount the same file"):
            site.enter()

    def test_environment_and_folder_of_the_client(self, workers, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SALBENCH_DATA", str(tmp_path))
        assert dict(workers.map(_surroundings, None, range(2)))[0] == (str(tmp_path), str(tmp_path))


def _surroundings(_, unit):
    return os.getcwd(), os.environ["SALBENCH_DATA"]


class TestPlaces:
    @pytest.mark.parametrize("place", ["nowhere", "local:", "local:0", "local:two", "http://x"])
    def test_an_unknown_kind(self, place):
        with pytest.raises(ClusterProblem, match="--cluster: expected local:N, tcp://HOST:PORT"), connect(place):
            pass

    def test_no_scheduler(self, monkeypatch, tmp_path):
        monkeypatch.setattr(cluster_places, "_CONNECT", 0.2)
        with pytest.raises(ClusterProblem, match="no scheduler answers there"), connect("tcp://127.0.0.1:9"):
            pass
        with pytest.raises(ClusterProblem, match="no such file; start a scheduler"), connect(str(tmp_path / "s.json")):
            pass

    def test_a_gpu_that_no_worker_offers(self, address):
        with pytest.raises(ClusterProblem, match="a worker that offers a GPU, found none"), connect(address, gpu=True):
            pass

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("queue = ", "expected a TOML file"),
            ("jobz = 2\nqueue = 'slurm'\njobs = 1\n[settings]", "; unknown key: jobz"),
            ("queue = 'slurm'\njobs = 1", "; missing: settings"),
            ("queue = 'x'\njobs = 2\n[settings]", "queue: expected one of slurm, pbs"),
            ("queue = 'slurm'\njobs = 0\n[settings]", "jobs: expected a whole number of at least 1, got 0"),
            ("queue = 'slurm'\njobs = 1\n[settings]", "no command sbatch here; start salbench where you submit jobs"),
        ],
    )
    def test_settings_of_a_queue(self, tmp_path, text, message):
        file = tmp_path / "slurm.toml"
        file.write_text(text)
        with pytest.raises(ClusterProblem) as error, connect(str(file)):
            pass
        assert message in str(error.value)
        assert str(file) in str(error.value)

    @pytest.mark.slow
    def test_signals_to_all_processes_of_a_command_are_for_the_client(self):
        """As Ctrl-C and batch systems send them. The client ends its processes."""
        with connect("local:1") as executor:
            assert list(executor.map(_waiting, {signal.SIGINT, signal.SIGTERM}, [0])) == [(0, True)]
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}

    @pytest.mark.slow
    @pytest.mark.usefixtures("_interruptible")
    def test_ctrl_c_while_processes_start_ends_them(self, monkeypatch):
        clusters, real = [], cluster_places._start_workers

        def start(started, number):
            clusters.append(started)
            interrupt = signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT]
            threading.Timer(0.3, *interrupt).start()  # a process takes longer
            real(started, number)

        monkeypatch.setattr(cluster_places, "_start_workers", start)
        with pytest.raises(KeyboardInterrupt), connect("local:1"):
            pass
        assert [nanny.status for nanny in clusters[0]._created] == [Status.closed]
        assert clusters[0].status == Status.closed

    @pytest.fixture
    def _interruptible(self):
        """A shell starts its background jobs with the signal ignored."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.slow
    def test_jobs_of_slurm(self, slurm, tmp_path):
        file = slurm()
        with connect(str(file)) as executor:
            assert list(executor.map(operator.mul, 2, range(3))) == [(0, 0), (1, 2), (2, 4)]
        assert "#SBATCH -n 1" in (tmp_path / "job.sh").read_text()

    def test_slurm_that_takes_no_job(self, slurm):
        file = slurm(sbatch="#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
        message = "sbatch took no job: sbatch: error: Invalid account"
        with pytest.raises(ClusterProblem, match=message), connect(str(file)):
            pass

    def test_a_setting_that_does_not_exist(self, slurm):
        file = slurm(settings='waltime = "1:00"')
        with pytest.raises(ClusterProblem, match=r"\[settings\]: .*unexpected key 'waltime'"), connect(str(file)):
            pass


def _waiting(signals, unit):
    return signals <= signal.pthread_sigmask(signal.SIG_BLOCK, [])


SLURM = {
    "sbatch": '#!/bin/sh\ncp "$1" job.sh\nsh job.sh > job.log 2>&1 &\necho "Submitted batch job $!"\n',
    "scancel": '#!/bin/sh\nkill -TERM $(cat "/proc/$1/task/$1/children")\n',
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A function that writes settings; with an sbatch that starts a job at once, and an scancel that ends it."""

    def write(settings="", **scripts):
        (tmp_path / "bin").mkdir()
        for name, script in (SLURM | scripts).items():
            (tmp_path / "bin" / name).write_text(script)
            (tmp_path / "bin" / name).chmod(0o755)
        file = tmp_path / "slurm.toml"
        common = 'queue = "slurm"\njobs = 1\n[settings]\ncores = 1\nmemory = "2GB"\ninterface = "lo"\n'
        file.write_text(common + settings)
        return file

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return write


class TestFaults:
    @pytest.mark.slow
    def test_workers_killed_at_random_moments(self, tiny, tmp_path, add_method, monkeypatch):
        """Five kills of one of two workers while a method is scored."""
        add_method(
            "plain", f"def predict(self, sample):\n    import time\n    time.sleep(0.1)\n{PLAIN.splitlines()[1]}"
        )
        evaluation_of(tiny, tmp_path / "one").run("plain")
        with workers_are_forks(), local_cluster(2) as started:
            killer = _Killer(started, random.Random(7), 5)
            with connect(started.scheduler_address) as executor, executors.using(executor):
                killer.start()
                for number in range(100):
                    result = evaluation_of(tiny, tmp_path / f"run{number}").run("plain")
                    assert not result.failures
                    assert rows_of(tmp_path / f"run{number}", "plain") == rows_of(tmp_path / "one", "plain")
                    assert files_of(tmp_path / f"run{number}") == files_of(tmp_path / "one")
                    if killer.kills == 5:
                        break
            killer.join()
        assert killer.kills == 5

    @pytest.mark.slow
    def test_a_scheduler_that_goes_away(self, monkeypatch):
        monkeypatch.setattr(cluster_places, "_CONNECT", 3)  # seconds for which the client looks for it
        with local_cluster(1) as started, connect(started.scheduler_address) as executor:
            results = executor.map(_scaled, 1, range(10**6))
            next(results)
            started.close()
            with pytest.raises(ClusterProblem, match="scheduler stopped answering"):
                list(results)


class _Killer(threading.Thread):
    """Kills a worker of a cluster at random moments."""

    def __init__(self, started, moments, number):
        super().__init__(daemon=True)
        self.started, self.moments, self.number, self.kills = started, moments, number, 0

    def run(self):
        while self.kills < self.number:
            time.sleep(self.moments.uniform(0.1, 0.7))
            pids = [nanny.pid for nanny in self.started.workers.values() if nanny.pid]
            if pids:
                os.kill(self.moments.choice(pids), signal.SIGKILL)
                self.kills += 1
