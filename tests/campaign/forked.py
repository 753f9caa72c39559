"""Start commands of salbench, with limits, and say how they ended.

They are forks of this process, which has imported what they need: they start in milliseconds instead of seconds.
"""

import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from salbench import cli

GIB = 2**30
STOPPING = (signal.SIGINT, signal.SIGTERM)
VARIABLES = {  # of a Python that starts afresh
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),  # the salbench beside these tests
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # or Python writes beside methods of the user's own
}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: exit status; negative if a signal ended the process, None if it ran out of time.
        output: what it printed to standard output.
        errors: what it printed to standard error.
    """

    status: int | None
    output: str
    errors: str

    @property
    def crashed(self) -> bool:
        """Whether it ended in a way that no user may see: a traceback, a signal or no end at all."""
        return self.status not in (0, 1, 2) or "Traceback (most recent call last)" in self.output + self.errors


def warm_up(*, torch: bool) -> None:
    """Import what the commands import, with or without torch, so that forks start at once."""
    for name in ("h5py", "matplotlib.pyplot", "pandas", "scipy.stats", "salbench.evaluation", "salbench.report"):
        importlib.import_module(name)
    if torch:
        importlib.import_module("salbench.ablation.run")
        importlib.import_module("torch._dynamo")  # which torch imports at the first step of an optimizer
        importlib.import_module("torch").set_num_threads(1)


class Fork:
    """A command in a process, and process group, of its own.

    Args:
        words: the verb and its options; a text is split at its spaces.
        folder: working folder.
        variables: environment variables to add.
        memory: limit on the memory that the process can write to, in bytes; by default none.
        afresh: start Python again, as for a user. It takes seconds, but processes that Python starts need it, and it
            ends as Python does.
    """

    def __init__(
        self,
        words: str | Sequence[str],
        folder: Path,
        variables: Mapping[str, str] | None = None,
        *,
        memory: float | None = None,
        afresh: bool = False,
    ) -> None:
        words = words.split() if isinstance(words, str) else list(words)
        self._printed = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - `wait` closes them
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the command can answer them
        self.pid = os.fork()
        if not self.pid:
            self._become(words, folder, variables or {}, memory, afresh)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)  # here too, so that no signal comes before it

    def _become(
        self, words: list[str], folder: Path, variables: Mapping[str, str], memory: float | None, afresh: bool
    ) -> NoReturn:
        status = 1
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            files = os.open(os.devnull, os.O_RDONLY), *(file.fileno() for file in self._printed)
            for number, file in enumerate(files):
                os.dup2(file, number)
            os.chdir(folder)
            os.environ.update(VARIABLES | variables if afresh else variables)
            tempfile.tempdir = None  # which tempfile remembers from its first use
            if memory is not None:
                resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            if afresh:
                os.execv(sys.executable, [sys.executable, "-m", "salbench", *words])
            status = cli.main(words)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)  # Python's own end takes seconds here: it would clear all modules

    def kill(self, number: int, *, alone: bool = False) -> None:
        """Send a signal to the process group, or to the process alone, unless it has ended."""
        with suppress(ProcessLookupError):
            (os.kill if alone else os.killpg)(self.pid, number)

    def has_gone(self, seconds: float) -> bool:
        """Wait at most some seconds until no process is left in the group; whether that is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.01)
        return False

    def wait(self, seconds: float = 600) -> Ended:
        """Wait until the process has ended; after `seconds` it is killed.

        On a busy machine, a training of two seconds may take two minutes.
        """
        end = time.monotonic() + seconds
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > end:
                self.kill(signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return Ended(None, *self._read())
            time.sleep(0.002)
        return Ended(os.waitstatus_to_exitcode(found[1]), *self._read())

    def _read(self) -> list[str]:
        texts = []
        for file in self._printed:
            with file:
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return texts
