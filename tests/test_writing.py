"""Atomic writes: whole or not at all, with nothing left behind, and never mixed with what another process writes."""

import errno
import io
import os
import stat

import pytest
from PIL import Image

from salbench import writing
from salbench.writing import atomic_path, atomic_write, has_files


def test_atomic_write_makes_folders_and_writes_utf8_with_plain_newlines(tmp_path):
    path = tmp_path / "deep" / "er" / "a.txt"
    with atomic_write(path) as file:
        file.write("Kümmerer\n")
    assert path.read_bytes() == "Kümmerer\n".encode()
    assert os.listdir(path.parent) == ["a.txt"]


def test_atomic_write_writes_bytes(tmp_path):
    with atomic_write(tmp_path / "a.bin", "wb") as file:
        file.write(b"\r\n\x00")
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\x00"


def test_atomic_write_replaces_a_file_only_at_the_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
        assert len(os.listdir(tmp_path)) == 2  # the temporary file lies beside it, so that renaming is atomic
    assert path.read_text() == "new"


def test_atomic_write_honours_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("x")
        assert os.umask(0o027) == 0o027  # left as it was
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    yield path
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(old_file, error):
    def write_half():
        with atomic_write(old_file) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        write_half()


@pytest.mark.parametrize("step", ["replace", "fsync", "chmod"])
def test_an_error_at_the_end_leaves_the_old_file_and_nothing_else(old_file, monkeypatch, step):
    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, step, fail)
        with pytest.raises(OSError, match="Input/output error"), atomic_write(old_file) as file:
            file.write("new")


class _FullDisk(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("size", [1, 10**6])  # found full at the final flush, and while writing
def test_a_full_disk_leaves_the_old_file_and_nothing_else(old_file, monkeypatch, size):
    def open_full(path, mode, **text):
        return io.TextIOWrapper(io.BufferedWriter(_FullDisk()), **text)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "open", open_full, raising=False)
        with pytest.raises(OSError, match="No space left on device"), atomic_write(old_file) as file:
            file.write("x" * size)


def test_an_error_before_there_was_a_file_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_pillow_loses_nothing_on_a_disk_that_takes_half_of_each_write(tmp_path, monkeypatch):
    """Given a file number, Pillow writes JPEG to it and does not look how many bytes were taken."""

    class HalfWrites(io.FileIO):
        def write(self, data):
            return super().write(data[: max(len(data) // 2, 1)])

    monkeypatch.setattr(writing, "open", lambda path, mode, **_: HalfWrites(path, mode), raising=False)
    picture = Image.effect_noise((300, 200), 50)
    with atomic_write(tmp_path / "a.jpg", "wb") as file:
        picture.save(file, "JPEG")
    expected = io.BytesIO()
    picture.save(expected, "JPEG")
    assert (tmp_path / "a.jpg").read_bytes() == expected.getvalue()
    with atomic_write(tmp_path / "a.jpg", "wb") as file, pytest.raises(io.UnsupportedOperation):
        file.fileno()


class TestErrors:
    """Whoever says it, and in whatever words: the error names the file, and has the number of the operating system."""

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (OSError(errno.EROFS, "Read-only file system"), errno.EROFS),
            (OSError("100 requested and 10 written"), errno.EIO),  # numpy
            (OSError("Can't write data (file write failed: errno = 28, error message = 'No space')"), errno.ENOSPC),
            (RuntimeError("Can't decrement id ref count (errno = 122, error message = 'quota')"), errno.EDQUOT),  # h5py
            (Exception("I/O error: No space left on device (os error 28)"), errno.ENOSPC),  # safetensors
        ],
    )
    def test_of_the_disk(self, old_file, error, code):
        with pytest.raises(OSError, match=r"a\.txt'$") as caught, atomic_path(old_file):
            raise error
        assert (caught.value.errno, caught.value.filename) == (code, str(old_file))

    @pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(2, "No such file or directory", "b.png")])
    def test_of_something_else(self, old_file, error):
        with pytest.raises(type(error)) as caught, atomic_path(old_file):
            raise error
        assert caught.value is error

    def test_where_nothing_may_be_written(self, tmp_path, monkeypatch):
        def refused(path, *_):
            raise OSError(errno.EROFS, "Read-only file system", str(path))

        monkeypatch.setattr(writing.os, "open", refused)
        with (
            pytest.raises(OSError, match=r"Read-only file system: .*/a\.txt'$"),
            atomic_write(tmp_path / "a.txt"),
        ):
            pass


class TestLeftBehind:
    """A process that was killed left its temporary file."""

    def test_is_taken_or_removed(self, tmp_path):
        for number in range(3):
            (tmp_path / f".a.txt.{number}.tmp").write_text("half of something longer")
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("whole")
            file.flush()
            assert sorted(os.listdir(tmp_path)) == [".a.txt.0.tmp"]
        assert os.listdir(tmp_path) == ["a.txt"]
        assert (tmp_path / "a.txt").read_text() == "whole"

    def test_of_another_file_stays(self, tmp_path):
        (tmp_path / ".b.txt.0.tmp").touch()
        with atomic_write(tmp_path / "a.txt"):
            pass
        assert sorted(os.listdir(tmp_path)) == [".b.txt.0.tmp", "a.txt"]

    def test_of_another_user_stays(self, tmp_path, monkeypatch):
        real, theirs = os.open, tmp_path / ".a.txt.0.tmp"
        theirs.write_text("theirs")

        def refused(path, flags, *mode):
            if path == theirs and not flags & os.O_EXCL:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, flags, *mode)

        monkeypatch.setattr(writing.os, "open", refused)
        with atomic_write(tmp_path / "a.txt") as file:
            file.write("mine")
        assert (tmp_path / "a.txt").read_text() == "mine"
        assert theirs.read_text() == "theirs"

    def test_is_no_file(self, tmp_path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / ".a.txt.0.tmp").touch()
        assert not has_files(tmp_path)
        assert not has_files(tmp_path / "nowhere")
        (tmp_path / "deep" / ".hidden").touch()
        assert has_files(tmp_path)


class TestTwoAtOnce:
    @pytest.mark.parametrize("has_locks", [True, False])
    def test_each_writes_a_file_of_its_own(self, tmp_path, monkeypatch, has_locks):
        if not has_locks:
            monkeypatch.setattr(writing, "try_to_lock", lambda file: None)
        path = tmp_path / "a.txt"
        with atomic_write(path) as first:
            first.write("first")
            with atomic_write(path) as second:
                second.write("the second is done before")
            assert path.read_text() == "the second is done before"
        assert path.read_text() == "first"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_a_file_that_was_renamed_before_its_lock_is_not_taken(self, tmp_path, monkeypatch):
        """This process opens the temporary file of another one, which then ends with its work."""
        path, theirs = tmp_path / "a.txt", tmp_path / ".a.txt.0.tmp"
        theirs.write_text("theirs")
        real = writing.try_to_lock

        def lock_after_rename(file):
            if theirs.exists():
                theirs.rename(path)
            return real(file)

        monkeypatch.setattr(writing, "try_to_lock", lock_after_rename)
        with atomic_write(path) as file:
            assert path.read_text() == "theirs"
            file.write("mine")
        assert path.read_text() == "mine"
        assert os.listdir(tmp_path) == ["a.txt"]
