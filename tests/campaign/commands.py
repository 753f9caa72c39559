"""Run a command of salbench in a process with limits, and say how it ended."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

GIB = 2**30


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
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {})
    limit = partial(resource.setrlimit, resource.RLIMIT_DATA, (int(memory), int(memory)))
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", preexec_fn=limit, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return Ended(None, output, errors)
    return Ended(process.returncode, output, errors)
