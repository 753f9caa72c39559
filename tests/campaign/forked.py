"""Start commands of salbench as forks of this process, which has imported what they need. They start at once."""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from commands import Ended

from salbench import cli

STOPPING = (signal.SIGINT, signal.SIGTERM)


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
        words: the verb and its options.
        folder: working folder; the process writes stdout.txt and stderr.txt beside it.
        variables: environment variables to add.
    """

    def __init__(self, words: str, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self._printed = [folder.with_name(f"{folder.name}.{id(self)}.{name}") for name in ("stdout", "stderr")]
        for path in self._printed:
            path.touch()  # it may be killed before it could
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the command can answer them
        self.pid = os.fork()
        if not self.pid:
            self._become(words, folder, variables or {})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)  # here too, so that no signal comes before it

    def _become(self, words: str, folder: Path, variables: Mapping[str, str]) -> NoReturn:
        status = 1
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            for number, path in enumerate(self._printed, 1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.environ.update(variables)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            status = cli.main(words.split())
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def kill(self, number: int) -> None:
        """Send a signal to the process group, unless it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

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
        texts = [path.read_text(errors="replace") for path in self._printed]
        for path in self._printed:
            path.unlink()
        return texts
