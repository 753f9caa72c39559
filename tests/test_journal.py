import errno
import json

import pytest

from salbench.identity import Identity
from salbench.journal import Journal, JournalProblem

FACTS = {"method": "mine+v1", "code": "c0de", "weights": None, "protocol": "mit", "seed": 0}
IDENTITY = Identity(FACTS)
ENTRIES = [{"id": f"image_{i}", "scores": {"auc": 0.1 * i}, "fixations": i} for i in range(4)]


@pytest.fixture
def journal_path(tmp_path):
    return tmp_path / "out" / "tiny" / "mine+v1.partial.jsonl"


def _write(path, entries=ENTRIES):
    journal = Journal(path, IDENTITY)
    for entry in entries:
        journal.add(entry)
    journal.close()
    return path.read_bytes()


def test_goes_on(journal_path):
    _write(journal_path, ENTRIES[:2])
    journal = Journal(journal_path, IDENTITY)
    assert list(journal.entries.values()) == ENTRIES[:2]
    journal.add(ENTRIES[2])
    journal.close()
    again = Journal(journal_path, IDENTITY)
    again.close()
    assert list(again.entries.values()) == ENTRIES[:3]


def test_an_entry_is_on_disk_at_once(journal_path):
    journal = Journal(journal_path, IDENTITY)
    for number, entry in enumerate(ENTRIES, 1):
        journal.add(entry)
        lines = journal_path.read_bytes().split(b"\n")
        assert len(lines) == 1 + number + 1  # the identity, the entries, and nothing after the last end of line
        assert json.loads(lines[number].partition(b"\t")[0]) == entry
    journal.close()


def test_removed_at_the_end(journal_path):
    journal = Journal(journal_path, IDENTITY)
    journal.close(remove=True)
    assert not journal_path.exists()


def test_a_folder_that_was_removed_meanwhile(journal_path):
    journal = Journal(journal_path, IDENTITY)
    journal_path.parent.rename(journal_path.parent.with_name("moved"))
    journal.close(remove=True)
    Journal(journal_path, IDENTITY).close()


def test_trouble_when_it_is_closed_releases_it(journal_path, monkeypatch):
    journal = Journal(journal_path, IDENTITY)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(type(journal_path), "unlink", refuse)
    with pytest.raises(OSError, match="Read-only file system"):
        journal.close(remove=True)
    monkeypatch.undo()
    Journal(journal_path, IDENTITY).close()


def test_cut_off_at_every_byte(journal_path):
    whole = _write(journal_path)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        journal_path.write_bytes(whole[:length])
        journal = Journal(journal_path, IDENTITY)
        kept = max(sum(end <= length for end in ends) - 1, 0)
        assert list(journal.entries.values()) == ENTRIES[:kept]
        for entry in ENTRIES[kept:]:
            journal.add(entry)
        journal.close()
        assert journal_path.read_bytes() == whole


@pytest.mark.parametrize("garbage", [b"\0" * 40, b"\0" * 40 + b"\n", b'{"id": "im\n', b"\xff\xfe\n\n\n"])
def test_garbage_after_the_last_entry(journal_path, garbage):
    whole = _write(journal_path)
    journal_path.write_bytes(whole + garbage)
    journal = Journal(journal_path, IDENTITY)
    journal.close()
    assert list(journal.entries.values()) == ENTRIES
    assert journal_path.read_bytes() == whole


def test_garbage_between_entries(journal_path):
    whole = _write(journal_path)
    lines = whole.splitlines(keepends=True)
    journal_path.write_bytes(b"".join([*lines[:3], b"\0" * len(lines[3]) + b"\n", *lines[4:]]))
    journal = Journal(journal_path, IDENTITY)
    journal.close()
    assert list(journal.entries.values()) == ENTRIES[:2]  # what stands before it


def test_a_flipped_bit_anywhere(journal_path):
    """No changed score is taken over; a damaged first line is refused."""
    whole = _write(journal_path)
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for at in range(ends[0], len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 1 << at % 8
        journal_path.write_bytes(content)
        journal = Journal(journal_path, IDENTITY)
        journal.close()
        assert list(journal.entries.values()) == ENTRIES[: sum(end <= at for end in ends) - 1]
    journal_path.write_bytes(whole.replace(b"mine", b"mime", 1))
    with pytest.raises(JournalProblem, match="Choose another --out"):
        Journal(journal_path, IDENTITY)


@pytest.mark.parametrize("fact", list(FACTS))
def test_another_identity_is_refused_and_left_as_it_is(journal_path, fact):
    whole = _write(journal_path)
    other = Identity(FACTS | {fact: "other"})
    with pytest.raises(JournalProblem, match=r"unfinished run.*\(.+\)\. Choose another --out, or .* --overwrite"):
        Journal(journal_path, other)
    assert journal_path.read_bytes() == whole


def test_another_identity_is_given_up_with_overwrite(journal_path):
    _write(journal_path)
    other = Identity(FACTS | {"seed": 5})
    journal = Journal(journal_path, other, overwrite=True)
    assert journal.entries == {}
    journal.add(ENTRIES[3])
    journal.close()
    again = Journal(journal_path, other)
    again.close()
    assert list(again.entries.values()) == [ENTRIES[3]]


def test_two_runs_never_write_one_journal(journal_path):
    first = Journal(journal_path, IDENTITY)
    with pytest.raises(JournalProblem, match="another process is writing this result; wait for it"):
        Journal(journal_path, IDENTITY)
    first.close()
    Journal(journal_path, IDENTITY).close()


@pytest.mark.parametrize("first", [b"5", b"[]", b"null", b'{"identity": 3}', b'{"identity": {}}', b'{"id": "image_0"}'])
def test_a_file_that_is_no_journal(journal_path, first):
    journal_path.parent.mkdir(parents=True)
    journal_path.write_bytes(first + b"\n")
    with pytest.raises(JournalProblem, match=r"unfinished run.*Choose another --out"):
        Journal(journal_path, IDENTITY)
    Journal(journal_path, IDENTITY, overwrite=True).close()


def test_failed_entries_are_tried_again(journal_path):
    failed = {"id": "image_1", "error": "ValueError: no"}
    _write(journal_path, [ENTRIES[0], failed, ENTRIES[2]])
    journal = Journal(journal_path, IDENTITY)
    assert list(journal.entries) == ["image_0", "image_2"]
    journal.add(ENTRIES[1])
    journal.close()
    again = Journal(journal_path, IDENTITY)
    again.close()
    assert again.entries == {e["id"]: e for e in ENTRIES[:3]}


def test_the_last_word_on_an_image_counts(journal_path):
    _write(journal_path, [ENTRIES[0], {"id": "image_0", "error": "ValueError: now it fails"}])
    journal = Journal(journal_path, IDENTITY)
    journal.close()
    assert journal.entries == {}
