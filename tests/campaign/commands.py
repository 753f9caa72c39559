"""Run a command of salbench in a process with limits, and say how it ended.

`run` starts Python for each command. `Server` starts it once and forks a process for each command, which takes
milliseconds instead of seconds.
"""

import gc
import importlib
import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

GIB = 2**30
_IMPORTED = (  # by the server, once for all commands
    "salbench.cli", "salbench.evaluation", "salbench.predict_pictures", "salbench.tables", "salbench.training",
    "pandas", "h5py", "tifffile", "scipy.io", "PIL.ImageFile",
)  # fmt: skip


_FIRST = ("run", "--methods", "spectral_residual", "--limit", "1", "--workers", "1")  # compiles the metrics

_VARIABLES = os.environ | {
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


def run(
    arguments: Sequence[str | os.PathLike[str]],
    folder: Path,
    *,
    memory: float = 2 * GIB,
    seconds: float = 120,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `salbench ARGUMENTS` in a folder.

    Args:
        arguments: the verb and its options.
        folder: working folder of the process.
        memory: limit on the memory that the process can write to, in bytes.
        seconds: it is killed after this time.
        environment: variables added to those of this process.
    """
    command = [sys.executable, "-m", "salbench", *map(str, arguments)]
    variables = _VARIABLES | (environment or {})
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", preexec_fn=partial(_limit, memory), process_group=0,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return Ended(None, output, errors)
    return Ended(process.returncode, output, errors)


def _limit(memory: float) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Server:
    """A process that has imported salbench and forks for every command. A context manager; needs Linux."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=_VARIABLES,
        )  # fmt: skip

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(
        self,
        arguments: Sequence[str | os.PathLike[str]],
        folder: Path,
        *,
        memory: float = 2 * GIB,
        seconds: float = 120,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """As the function `run`."""
        request = {"arguments": list(map(str, arguments)), "folder": str(folder), "memory": memory}
        request |= {"seconds": seconds, "environment": dict(environment or {})}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    for module in _IMPORTED:
        importlib.import_module(module)
    _warm_up()
    logging.root.handlers.clear()  # they write to where the first command did
    gc.freeze()  # the processes share what is there now, as long as nobody touches it
    for line in iter(sys.stdin.readline, ""):
        print(json.dumps(asdict(_answer(json.loads(line)))), flush=True)


def _warm_up() -> None:
    """Execute a first command, whose output nobody sees."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nothing = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(redirect_stdout(nothing))
        stack.enter_context(redirect_stderr(nothing))
        importlib.import_module("salbench.cli").main([*_FIRST, "--out", folder])


def _answer(request: Mapping[str, Any]) -> Ended:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = os.fork()
        if process == 0:
            _execute(request, output.fileno(), errors.fileno())
        os.setpgid(process, process)
        ended = os.pidfd_open(process)
        in_time, _, _ = select.select([ended], [], [], request["seconds"])
        os.close(ended)
        if not in_time:
            os.killpg(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        texts = [(file.seek(0), file.read().decode(errors="replace"))[1] for file in (output, errors)]
    return Ended(status if in_time else None, *texts)


def _execute(request: Mapping[str, Any], output: int, errors: int) -> None:
    """Execute one command in the forked process, which ends here."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(source, target)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # which tempfile remembers from its first use
    _limit(request["memory"])
    os._exit(_status(request["arguments"]))  # Python's own end takes seconds here: it would clear all modules


def _status(arguments: Sequence[str]) -> int:
    """Execute a command as Python does it: the exit status, after a traceback if an exception comes through."""
    from salbench.cli import main

    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status


if __name__ == "__main__":
    _serve()
