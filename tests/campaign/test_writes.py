"""A short part of the failing writes; all of them: python tests/campaign/writes.py"""

import shutil

import pytest


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles what lets calls of the operating system fail")
def test_a_few(run_part):
    assert "| all " in run_part("writes", "--calls", 8, "--commands", "results merge,submit --format tuebingen")
