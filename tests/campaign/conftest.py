"""Runs a short part of the campaign."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import salbench


@pytest.fixture
def run_part() -> Callable[..., str]:
    """A function of the name of a part and options: what it printed. It must find no fault."""

    def run(name: str, *options: object) -> str:
        command = [sys.executable, Path(__file__).with_name(f"{name}.py"), *map(str, options)]
        variables = os.environ | {"PYTHONPATH": str(Path(salbench.__file__).parents[1])}  # the one that is tested
        ended = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600)
        assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
        return ended.stdout

    return run
