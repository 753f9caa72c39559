"""The progress bar that all long commands share."""

import pytest

from salbench import executors
from salbench.executors import Threads
from salbench.progress import Bar


class Two(Threads):
    """Says what a cluster of two workers says."""

    status = "2 workers"


@pytest.fixture
def last(capsys):
    """A function of failures (True or False for each unit): the last state of a bar that counts them."""

    def state(failures, **options):
        with Bar("some work", len(failures), **options) as bar:
            for failed in failures:
                bar.advance(failed=failed)
        return capsys.readouterr().err.split("\r")[-1]

    return state


def test_rate_alone_on_one_machine(last):
    state = last([False, False])
    assert state.startswith("some work: 100%")
    assert "image/s" in state
    assert "worker" not in state
    assert "failed" not in state


def test_workers_and_failures(last):
    with executors.using(Two(2)):
        assert last([True, False, True]).strip().endswith("image/s, 2 workers, 2 failed]")
        assert last([False]).strip().endswith("image/s, 2 workers]")
    assert last([True]).strip().endswith("image/s, 1 failed]")


def test_work_of_an_earlier_command_counts(last):
    assert " 3/3 " in last([False, False, False], unit="picture")
    with Bar("some work", 5, done=3) as bar:
        assert bar.n == 3


def test_a_bar_that_is_not_shown(last):
    assert last([True], shown=False) == ""
