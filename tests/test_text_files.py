"""JSON and TOML of others: read, or `ValueError`."""

import pytest

from salbench.datasets import DatasetProblem
from salbench.datasets._coco import read_captions
from salbench.edits import EditSetProblem, read
from salbench.files import FileProblem
from salbench.named_regions import read_regions
from salbench.text_files import parse_json, parse_toml

DEEP = b"[" * 100_000
DAMAGED = [DEEP, b'{"a":' * 100_000, b"\xff\xfe{\x00", b"{", b"", b"\x00", b'{"a": "\n"}']


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_changes_nothing(before):
    assert parse_json(before + '{"a": "é"}'.encode()) == {"a": "é"}
    assert parse_toml(before + 'a = "é"'.encode()) == {"a": "é"}


def test_hooks():
    assert parse_json(b'{"a": 1, "a": 2}', object_pairs_hook=list) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_json(content):
    with pytest.raises(ValueError, match="expected JSON"):
        parse_json(content)


@pytest.mark.parametrize("content", [b"a = " + DEEP, b"a = b", b"\xff\xfea\x00", b"a = 1\na = 2"])
def test_damaged_toml(content):
    with pytest.raises(ValueError, match="expected TOML"):
        parse_toml(content)


def _regions(path):
    read_regions(path / "regions.json")


def _captions(path):
    read_captions(path / "captions.json", ["a.jpg"])


def _edits(path):
    read(path)


@pytest.mark.parametrize(
    ("name", "opened", "problem"),
    [
        ("regions.json", _regions, FileProblem),
        ("captions.json", _captions, DatasetProblem),
        ("edit_set.json", _edits, EditSetProblem),
    ],
)
@pytest.mark.parametrize("content", DAMAGED)
def test_every_reader_names_the_file(name, opened, problem, content, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(problem, match=f"{name}: .*expected JSON"):
        opened(tmp_path)
