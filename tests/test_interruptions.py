"""A killed or stopped evaluation resumes. No more images than needed are begun or held in memory."""

import errno
import gc
import json
import os
import random
import signal
import threading
import time
import traceback
import weakref
from dataclasses import replace

import pytest
from runs import PLAIN, evaluation_of, files_of, journal_of, summary_of

from salbench import registry, results, scoring
from salbench.datasets import load
from salbench.journal import Journal
from salbench.protocol import PROTOCOLS

IDS = [sample.id for sample in load("popout").samples]
WAITING = f"""
def predict(self, sample):
    import os, time
    while {IDS}.index(sample.id) >= int(os.environ["IMAGES"]):
        time.sleep(0.001)
    return sample.image.mean(2)
"""


def _killed(evaluation, journal, monkeypatch):
    """Run it in a fork of this process and kill that at a random moment, six times.

    Two kills come while the run starts; the others when it has moved on by one to three images. It waits for more.

    Returns:
        How many images were done before the first kill, and after each.
    """

    def images():
        return max(journal.read_bytes().count(b"\n") - 1, 0) if journal.exists() else 0

    done, moments = [0], random.Random(5)
    for turn in range(6):
        starting = turn in (0, 3)
        monkeypatch.setenv("IMAGES", str(done[-1] + (0 if starting else 3)))
        child = os.fork()
        if not child:
            try:
                evaluation.run("slow")
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        end = time.monotonic() + 60
        try:
            while not starting and images() == done[-1]:
                assert time.monotonic() < end, "an image is done in time"
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.05))
        finally:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it ran until it was killed"
        done.append(images())
    return done


SLOW = "def predict(self, sample):\n    import time\n    time.sleep(0.02)\n    return sample.image.mean(2)"


class TestInterrupted:
    def test_killed_six_times(self, tmp_path, add_method, monkeypatch):
        """In the middle of batches, too: two workers each predict two images at once."""
        add_method("slow", WAITING)
        evaluation = evaluation_of(load("popout"), tmp_path / "killed", PROTOCOLS["tuebingen"], workers=2, batch_size=2)
        done = _killed(evaluation, tmp_path / "killed" / "popout" / "slow.partial.jsonl", monkeypatch)
        assert done == sorted(done), "an image that was done is done"
        assert len(set(done)) == 5, "four kills come when the run has moved on"
        assert done[-1] < 30, "all kills come in the middle of the run"
        monkeypatch.setenv("IMAGES", "30")
        for out in ("killed", "whole"):
            evaluation_of(load("popout"), tmp_path / out, PROTOCOLS["tuebingen"], workers=2).run("slow")
        killed, whole = ((tmp_path / out / "popout" / "slow.csv").read_bytes() for out in ("killed", "whole"))
        assert killed == whole
        assert killed.count(b"\n") == 31
        assert summary_of(tmp_path / "killed", "slow", "popout") == summary_of(tmp_path / "whole", "slow", "popout")
        assert files_of(tmp_path / "killed", "popout") == ["slow.csv", "slow.json"]

    @pytest.fixture
    def _interruptible(self):
        """A shell starts its background jobs with the signal ignored."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.usefixtures("_interruptible")
    @pytest.mark.parametrize("workers", [1, 2])
    def test_ctrl_c(self, tiny, tmp_path, add_method, monkeypatch, workers):
        add_method("slow", SLOW)
        real = Journal.add

        def add_then_interrupt(journal, entry):
            real(journal, entry)
            if len(journal.entries) == 3:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        monkeypatch.setattr(Journal, "add", add_then_interrupt)
        with pytest.raises(KeyboardInterrupt):
            evaluation_of(tiny, tmp_path, workers=workers).run("slow")
        assert len(journal_of(tmp_path, "slow")) == 3
        assert files_of(tmp_path) == ["slow.partial.jsonl"]
        self._goes_on(tiny, tmp_path, "slow", monkeypatch, left=3)

    def test_interrupted_while_predicting(self, tiny, tmp_path, add_method, monkeypatch):
        add_method("stops", PLAIN)
        real = registry.get("stops").predict

        def predict(method, sample):
            if sample.id == "image_4":
                raise KeyboardInterrupt
            return real(method, sample)

        with monkeypatch.context() as patch:
            patch.setattr(registry.get("stops"), "predict", predict)
            with pytest.raises(KeyboardInterrupt):
                evaluation_of(tiny, tmp_path).run("stops")
        assert 3 <= len(journal_of(tmp_path, "stops")) <= 5  # those in flight may be lost
        self._goes_on(tiny, tmp_path, "stops", monkeypatch, left=None)

    def test_disk_full_while_recording(self, tiny, tmp_path, add_method, monkeypatch):
        add_method("own", PLAIN)
        real, calls = Journal._append, []

        def append(journal, entry):
            calls.append(entry)
            if len(calls) == 5:  # the key, three images, and half a line of the fourth
                journal._file.write(json.dumps(entry).encode()[:20])
                journal._file.flush()
                raise OSError(errno.ENOSPC, "No space left on device")
            real(journal, entry)

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_append", append)
            with pytest.raises(OSError, match="No space left on device"):
                evaluation_of(tiny, tmp_path).run("own")
        assert not (tmp_path / "tiny" / "own.json").exists()
        self._goes_on(tiny, tmp_path, "own", monkeypatch, left=3)

    def test_disk_full_while_writing_the_result(self, tiny, tmp_path, add_method, monkeypatch):
        add_method("own", PLAIN)

        def write(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(results, "write", write)
            with pytest.raises(OSError, match="No space left on device"):
                evaluation_of(tiny, tmp_path).run("own")
        assert len(journal_of(tmp_path, "own")) == 6
        self._goes_on(tiny, tmp_path, "own", monkeypatch, left=6)

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_disk_full_while_saving_maps_is_no_fault_of_the_image(self, tiny, tmp_path, add_method, monkeypatch, code):
        add_method("own", PLAIN)

        def save(*_):
            raise OSError(code, "full")

        with monkeypatch.context() as patch:
            patch.setattr(scoring, "_save", save)
            with pytest.raises(OSError, match="full"):
                evaluation_of(tiny, tmp_path, save_maps=tmp_path / "maps").run("own")
        assert evaluation_of(tiny, tmp_path, save_maps=tmp_path / "maps").run("own").n_failed == 0

    def test_no_memory_stops_the_run(self, tiny, tmp_path, add_method):
        add_method("greedy", "def predict(self, sample):\n    raise MemoryError('too much')")
        with pytest.raises(MemoryError, match="too much"):
            evaluation_of(tiny, tmp_path).run("greedy")

    def _goes_on(self, dataset, out, name, monkeypatch, left):
        """The next run predicts only what is not `left`, and ends as an uninterrupted one does."""
        monkeypatch.undo()  # whatever caused the trouble, and the folder of the method
        monkeypatch.setattr(registry, "_FOLDERS", [*registry._FOLDERS, out / "own_methods"])
        predicted, real = [], registry.get(name).predict

        def predict(method, sample):
            predicted.append(sample.id)
            return real(method, sample)

        monkeypatch.setattr(registry.get(name), "predict", predict)
        evaluation_of(dataset, out).run(name)
        if left is not None:
            assert len(predicted) == 6 - left
        evaluation_of(dataset, out / "whole").run(name)
        assert (out / "tiny" / f"{name}.csv").read_bytes() == (out / "whole" / "tiny" / f"{name}.csv").read_bytes()
        assert summary_of(out, name) == summary_of(out / "whole", name)


class TestMemory:
    @pytest.mark.parametrize(("workers", "batch_size", "fails"), [(1, 1, False), (3, 1, True), (3, 4, False)])
    def test_images_are_released(self, make_samples, make_dataset, tmp_path, add_method, workers, batch_size, fails):
        add_method("own", PLAIN + (" / len(sample.no_such_thing)" if fails else ""))
        alive, most, lock = set(), [0], threading.Lock()

        def counted(read_image):
            def read():
                image = read_image()
                with lock:
                    alive.add(id(image))
                    most[0] = max(most[0], len(alive))
                weakref.finalize(image, alive.discard, id(image))
                return image

            return read

        samples = [replace(s, read_image=counted(s.read_image)) for s in make_samples([(24, 32)] * 15)]
        result = evaluation_of(make_dataset(samples), tmp_path, workers=workers, batch_size=batch_size).run("own")
        gc.collect()
        assert result.n_failed == (15 if fails else 0)
        assert 1 <= most[0] <= workers + 1
        assert not alive

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_no_more_images_are_begun_than_can_be_taken(
        self, make_samples, make_dataset, tmp_path, add_method, monkeypatch, batch_size
    ):
        """Recording is slower than scoring here: the loop waits instead of piling up what is not yet recorded."""
        add_method("own", PLAIN)
        begun, recorded, ahead = [], [], []
        real_predict, real_add = registry.get("own").predict, Journal.add

        def predict(method, sample):
            begun.append(sample.id)
            return real_predict(method, sample)

        def add(journal, entry):
            time.sleep(0.005)
            ahead.append(len(begun) - len(recorded))
            recorded.append(entry["id"])
            real_add(journal, entry)

        monkeypatch.setattr(registry.get("own"), "predict", predict)
        monkeypatch.setattr(Journal, "add", add)
        dataset = make_dataset(make_samples([(24, 32)] * 20))
        evaluation_of(dataset, tmp_path, workers=2, batch_size=batch_size).run("own")
        assert len(recorded) == 20
        assert max(ahead) <= 2 * 2 * batch_size
