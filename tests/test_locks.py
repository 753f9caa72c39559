"""Locks between processes."""

import errno
import os

import pytest

from salbench import locks
from salbench.locks import Busy, only_one, try_to_lock


def test_one_at_a_time(tmp_path):
    place = tmp_path / "deep" / "training"
    with only_one(place, "is training here"):
        with pytest.raises(Busy, match="training: another process is training here; wait for it, or"):
            only_one(place, "is training here").__enter__()
        with only_one(place.with_name("other"), "is training here"):
            pass
    with only_one(place, "is training here"):
        pass
    assert list(tmp_path.rglob("*")) == [place.parent]


def test_what_a_killed_process_left_holds_nobody_up(tmp_path):
    (tmp_path / ".training.lock").touch()
    with only_one(tmp_path / "training", "is training here"):
        pass
    assert not list(tmp_path.iterdir())


def test_released_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), only_one(tmp_path / "training", "is training here"):
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_an_open_file(tmp_path):
    first, second = (os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert try_to_lock(first)
    assert try_to_lock(second) is False
    os.close(first)
    assert try_to_lock(second)
    os.close(second)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with open(tmp_path / "a", "w") as file:
        assert try_to_lock(file.fileno()) is None
