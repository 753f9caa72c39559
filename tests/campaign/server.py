"""A process that has imported salbench and forks for every command.

It is for programs with several threads, of which none may fork, and for commands with a limit on memory: they start
with what this process holds, and no more.
"""

import gc
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path

from forked import GIB, VARIABLES, Ended, Fork

_IMPORTED = (  # once for all commands
    "salbench.cli", "salbench.evaluation", "salbench.predict_pictures", "salbench.tables", "salbench.training",
    "pandas", "h5py", "tifffile", "scipy.io", "PIL.ImageFile",
)  # fmt: skip
_FIRST = ("run", "--methods", "spectral_residual", "--limit", "1", "--workers", "1")  # compiles the metrics


class Server:
    """The process. A context manager; needs Linux."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | VARIABLES,
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
        """Run `salbench ARGUMENTS` in a folder, with limits on memory, in bytes, and on time."""
        fork = {"words": list(map(str, arguments)), "folder": str(folder), "variables": dict(environment or {})}
        self._process.stdin.write(json.dumps([fork | {"memory": memory}, seconds]) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    gc.disable()  # while much is made that stays
    for module in _IMPORTED:
        importlib.import_module(module)
    _warm_up()
    logging.root.handlers.clear()  # they write to where the first command did
    gc.freeze()  # the processes share what is there now, as long as nobody touches it
    gc.enable()
    for line in iter(sys.stdin.readline, ""):
        fork, seconds = json.loads(line)
        print(json.dumps(asdict(Fork(**fork).wait(seconds))), flush=True)


def _warm_up() -> None:
    """Execute a first command, whose output nobody sees."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        nothing = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(redirect_stdout(nothing))
        stack.enter_context(redirect_stderr(nothing))
        importlib.import_module("salbench.cli").main([*_FIRST, "--out", folder])


if __name__ == "__main__":
    _serve()
