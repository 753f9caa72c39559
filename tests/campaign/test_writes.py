"""A short part of the failing writes; all of them: python tests/campaign/writes.py"""

import shutil

import pytest
import writes
from forked import Ended
from trials import Campaign


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc compiles what lets calls of the operating system fail")
def test_a_few(run_part):
    assert "| all " in run_part("writes", "--calls", 4, "--commands", "results merge,submit --format tuebingen")


def test_a_command_that_is_stopped_while_its_calls_are_counted(monkeypatch, tmp_path):
    class Stopped:
        def __init__(self, words, folder, variables):
            pass

        def wait(self):
            return Ended(None, "", "")

    monkeypatch.setattr(writes, "Fork", Stopped)
    with pytest.raises(RuntimeError, match="fit: expected exit status 0 while its calls are counted"):
        writes._calls(Campaign(tmp_path), "fit")
