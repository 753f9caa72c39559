"""ZIP files of others: nothing leaves the folder."""

import stat
import zipfile

import pytest

from salbench.archives import ArchiveProblem, unpack_zip


def write(path, members):
    """A ZIP file of {name: text}; a value (text, mode) sets the mode of a file, as Unix programs store it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            text, mode = content if isinstance(content, tuple) else (content, stat.S_IFREG | 0o644)
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, text)
    return path


def test_files_in_folders(tmp_path):
    archive = write(tmp_path / "a.zip", {"set/a.txt": "one", "set/data/b.txt": "two", "set/empty/": ("", stat.S_IFDIR)})
    unpack_zip(archive, tmp_path / "out")
    assert (tmp_path / "out/set/a.txt").read_text() == "one"
    assert (tmp_path / "out/set/data/b.txt").read_text() == "two"
    assert (tmp_path / "out/set/empty").is_dir()


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("/etc/evil", stat.S_IFREG, "an absolute path"),
        ("C:/evil", stat.S_IFREG, "an absolute path"),
        ("\\evil", stat.S_IFREG, "an absolute path"),
        ("C:evil", stat.S_IFREG, "an absolute path"),
        ("\\\\server\\share\\evil", stat.S_IFREG, "an absolute path"),
        ("set/../../evil", stat.S_IFREG, r'a path with "\.\."'),
        ("..\\evil", stat.S_IFREG, r'a path with "\.\."'),
        ("set/evil", stat.S_IFLNK | 0o777, "a link"),
        ("set/evil", stat.S_IFIFO, "neither a file nor a folder"),
    ],
)
def test_unsafe_members(tmp_path, name, mode, reason):
    archive = write(tmp_path / "a.zip", {"set/good": "one", name: ("/etc", mode)})
    with pytest.raises(ArchiveProblem, match=rf"a\.zip: holds .*{reason}.*; nothing was unpacked"):
        unpack_zip(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "flipped"])
def test_damaged(tmp_path, damage):
    archive = write(tmp_path / "a.zip", {"set/a.txt": "one" * 500})
    content = archive.read_bytes()
    flipped = bytearray(content)
    flipped[45] ^= 0xFF  # in the compressed data
    archive.write_bytes({"text": b"<html>", "empty": b"", "cut": content[:-30], "flipped": bytes(flipped)}[damage])
    with pytest.raises(ArchiveProblem, match=r"a\.zip: not a readable ZIP file: .*; download it again"):
        unpack_zip(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
