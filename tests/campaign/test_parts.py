"""A short part of three campaigns; all of them: python tests/campaign/kills.py, writes.py and together.py."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import salbench

PARTS = {
    "kills": ["--kills", "4", "--commands", "edit,report"],
    "writes": ["--calls", "2", "--commands", "results merge,submit --format tuebingen"],
    "together": ["--pairs", "1", "--commands", "run"],
}
WITHOUT_GCC = {name: options for name, options in PARTS.items() if name != "writes"}  # it compiles what lets calls fail


def test_a_few_of_each():
    parts = PARTS if shutil.which("gcc") else WITHOUT_GCC
    command = [sys.executable, Path(__file__).with_name("parts.py"), json.dumps(parts)]
    variables = os.environ | {"PYTHONPATH": str(Path(salbench.__file__).parents[1])}  # the one that is tested
    ended = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    assert ended.stdout.count("| all ") == len(parts)
