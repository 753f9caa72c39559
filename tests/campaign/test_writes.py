"""What the campaign of failing writes does when it cannot count the calls of a command."""

import pytest
import writes
from forked import Ended
from trials import Campaign


def test_a_command_that_is_stopped_while_its_calls_are_counted(monkeypatch, tmp_path):
    class Stopped:
        def __init__(self, words, folder, variables):
            pass

        def wait(self):
            return Ended(None, "", "")

    monkeypatch.setattr(writes, "Fork", Stopped)
    with pytest.raises(RuntimeError, match="fit: expected exit status 0 while its calls are counted"):
        writes._calls(Campaign(tmp_path), "fit")
