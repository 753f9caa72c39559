import csv
import errno
import json
from dataclasses import asdict, replace

import pytest

from salbench import files, results
from salbench.results import Journal, Key, Result, ResultProblem

KEY = Key("0.1.0", "mine+v1", "c0de", None, None, "tiny", "f1n9", "mit", 1, "ch01ce5", 0)
RESULT = Result(
    key=KEY,
    metrics={"auc": {"mean": 0.75, "low": 0.7, "high": 0.8, "n": 3}, "ig": None},
    output="map",
    ceiling=False,
    gaze="simulated",
    n_images=3,
    n_failed=0,
    n_without_fixations=1,
    n_resized=2,
    zero_share=0.125,
    failures={},
    seconds=1.5,
    provenance={"versions": {"numpy": "2.3.5"}, "commit": None},
)
ROWS = [
    {"id": "b", "auc": 0.1 + 0.2, "ig": float("nan")},
    {"id": "a,ü", "auc": 1e-17, "ig": float("nan")},
    {"id": "c", "auc": float("nan"), "ig": float("nan")},
]
ENTRIES = [{"id": f"image_{i}", "scores": {"auc": 0.1 * i}, "fixations": i} for i in range(4)]


@pytest.fixture
def journal_path(tmp_path):
    return tmp_path / "out" / "tiny" / "mine+v1.partial.jsonl"


def _disk_full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


class TestWriteAndRead:
    def test_round_trip(self, tmp_path):
        results.write(RESULT, ROWS, tmp_path)
        assert results.read(tmp_path / "tiny" / "mine+v1.json") == RESULT

    def test_paths(self, tmp_path):
        json_path, csv_path, journal = results.paths(tmp_path, "osie_test", "from_folder+v1.5")
        assert json_path == tmp_path / "osie_test" / "from_folder+v1.5.json"
        assert csv_path == tmp_path / "osie_test" / "from_folder+v1.5.csv"
        assert journal == tmp_path / "osie_test" / "from_folder+v1.5.partial.jsonl"

    def test_csv(self, tmp_path):
        results.write(RESULT, ROWS, tmp_path)
        content = (tmp_path / "tiny" / "mine+v1.csv").read_bytes()
        assert content == 'id,auc,ig\nb,0.30000000000000004,\n"a,ü",1e-17,\nc,,\n'.encode()
        with open(tmp_path / "tiny" / "mine+v1.csv", encoding="utf-8", newline="") as file:
            assert [float(row["auc"] or "nan") for row in csv.DictReader(file)][:2] == [0.1 + 0.2, 1e-17]

    def test_json_is_strict(self, tmp_path):
        results.write(RESULT, ROWS, tmp_path)

        def refuse(constant):
            raise AssertionError(f"{constant} is not JSON")

        content = json.loads((tmp_path / "tiny" / "mine+v1.json").read_text(), parse_constant=refuse)
        assert content["schema"] == results.SCHEMA
        assert content["key"] == asdict(KEY)

    def test_nan_in_a_result_is_refused_and_nothing_is_left_behind(self, tmp_path):
        results.write(RESULT, ROWS, tmp_path)
        with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
            results.write(replace(RESULT, zero_share=float("nan")), ROWS, tmp_path)
        assert results.read(tmp_path / "tiny" / "mine+v1.json") == RESULT
        assert sorted(p.name for p in (tmp_path / "tiny").iterdir()) == ["mine+v1.csv", "mine+v1.json"]

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    @pytest.mark.parametrize("failing", [1, 2])
    def test_a_full_disk_leaves_the_old_files_whole(self, tmp_path, monkeypatch, call, failing):
        results.write(RESULT, ROWS, tmp_path)
        folder = tmp_path / "tiny"
        old = {path.name: path.read_bytes() for path in folder.iterdir()}
        real, calls = getattr(files.os, call), []

        def sometimes(*arguments):
            calls.append(arguments)
            return _disk_full() if len(calls) == failing else real(*arguments)

        monkeypatch.setattr(files.os, call, sometimes)
        with pytest.raises(OSError, match="No space left on device"):
            results.write(replace(RESULT, seconds=9.0), ROWS[::-1], tmp_path)
        new = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert set(new) == set(old)  # nothing half-written lies about
        assert new["mine+v1.json"] == old["mine+v1.json"]
        # The table of images goes first, so that a new result never stands beside an old table.
        assert (new["mine+v1.csv"] == old["mine+v1.csv"]) == (failing == 1)

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "[1]", "5", "null", '"schema"', "{}", '{"key": 1}', "\0\0", b"\xff\xfe{"],
    )
    def test_garbage(self, tmp_path, content):
        path = tmp_path / "x.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ResultProblem, match=r"x\.json: expected a salbench result, got something else"):
            results.read(path)

    @pytest.mark.parametrize("schema", [0, 2, "1", None])
    def test_another_schema(self, tmp_path, schema):
        self._written(tmp_path, schema=schema)
        with pytest.raises(ResultProblem, match=rf"written in format {schema}, this version reads 1; run the method"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    @pytest.mark.parametrize(
        "change",
        [{"colour": "blue"}, {"key": None}, {"key": 5}, {"key": []}, {"key": {}}, {"key": asdict(KEY) | {"x": 1}}],
    )
    def test_fields_of_another_version(self, tmp_path, change):
        self._written(tmp_path, **change)
        with pytest.raises(ResultProblem, match=r"mine\+v1\.json: expected the fields of a salbench result"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    @pytest.mark.parametrize("missing", ["metrics", "key", "seconds"])
    def test_a_field_is_missing(self, tmp_path, missing):
        self._written(tmp_path, without=missing)
        with pytest.raises(ResultProblem, match=f"expected the fields of a salbench result: .*'{missing}'"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    def test_read_all(self, tmp_path):
        for method in ("zeta", "alpha", "mine+v1"):
            results.write(replace(RESULT, key=replace(KEY, method=method)), ROWS, tmp_path)
        results.write(replace(RESULT, key=replace(KEY, dataset="other")), ROWS, tmp_path)
        assert list(results.read_all(tmp_path, "tiny")) == ["alpha", "mine+v1", "zeta"]
        assert results.read_all(tmp_path, "tiny")["alpha"].key.method == "alpha"
        assert results.read_all(tmp_path, "nowhere") == {}

    def _written(self, out, without=None, **changes):
        results.write(RESULT, ROWS, out)
        path = out / "tiny" / "mine+v1.json"
        content = json.loads(path.read_text()) | changes
        content.pop(without, None)
        path.write_text(json.dumps(content))


class TestKey:
    def test_differences(self):
        other = replace(KEY, protocol="lsun17", seed=3)
        assert KEY.differences(other) == "protocol mit instead of lsun17, seed 0 instead of 3"
        assert KEY.differences(KEY) == ""


class TestJournal:
    def _write(self, path, entries=ENTRIES):
        journal = Journal(path, KEY)
        for entry in entries:
            journal.add(entry)
        journal.close()
        return path.read_bytes()

    def test_goes_on(self, journal_path):
        self._write(journal_path, ENTRIES[:2])
        journal = Journal(journal_path, KEY)
        assert list(journal.entries.values()) == ENTRIES[:2]
        journal.add(ENTRIES[2])
        journal.close()
        again = Journal(journal_path, KEY)
        again.close()
        assert list(again.entries.values()) == ENTRIES[:3]

    def test_an_entry_is_on_disk_at_once(self, journal_path):
        journal = Journal(journal_path, KEY)
        for number, entry in enumerate(ENTRIES, 1):
            journal.add(entry)
            lines = journal_path.read_bytes().split(b"\n")
            assert len(lines) == 1 + number + 1  # the key, the entries, and nothing after the last end of line
            assert json.loads(lines[number]) == entry
        journal.close()

    def test_removed_at_the_end(self, journal_path):
        journal = Journal(journal_path, KEY)
        journal.close(remove=True)
        assert not journal_path.exists()

    def test_cut_off_at_every_byte(self, journal_path):
        whole = self._write(journal_path)
        ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
        for length in range(len(whole) + 1):
            journal_path.write_bytes(whole[:length])
            journal = Journal(journal_path, KEY)
            kept = max(sum(end <= length for end in ends) - 1, 0)
            assert list(journal.entries.values()) == ENTRIES[:kept]
            for entry in ENTRIES[kept:]:
                journal.add(entry)
            journal.close()
            assert journal_path.read_bytes() == whole

    @pytest.mark.parametrize("garbage", [b"\0" * 40, b"\0" * 40 + b"\n", b'{"id": "im\n', b"\xff\xfe\n\n\n"])
    def test_garbage_after_the_last_entry(self, journal_path, garbage):
        whole = self._write(journal_path)
        journal_path.write_bytes(whole + garbage)
        journal = Journal(journal_path, KEY)
        journal.close()
        assert list(journal.entries.values()) == ENTRIES
        assert journal_path.read_bytes() == whole

    def test_garbage_between_entries(self, journal_path):
        whole = self._write(journal_path)
        lines = whole.splitlines(keepends=True)
        journal_path.write_bytes(b"".join([*lines[:3], b"\0" * len(lines[3]) + b"\n", *lines[4:]]))
        journal = Journal(journal_path, KEY)
        journal.close()
        assert list(journal.entries.values()) == ENTRIES[:2]  # what stands before it

    @pytest.mark.parametrize("field", list(asdict(KEY)))
    def test_another_key_is_refused_and_left_as_it_is(self, journal_path, field):
        whole = self._write(journal_path)
        other = replace(KEY, **{field: 99 if isinstance(getattr(KEY, field), int) else "other"})
        with pytest.raises(
            ResultProblem, match=r"left by an unfinished run .* \(.+\)\. Choose another --out, or --overwrite"
        ):
            Journal(journal_path, other)
        assert journal_path.read_bytes() == whole

    def test_another_key_is_given_up_with_overwrite(self, journal_path):
        self._write(journal_path)
        other = replace(KEY, seed=5)
        journal = Journal(journal_path, other, overwrite=True)
        assert journal.entries == {}
        journal.add(ENTRIES[3])
        journal.close()
        again = Journal(journal_path, other)
        again.close()
        assert list(again.entries.values()) == [ENTRIES[3]]

    @pytest.mark.skipif(results.fcntl is None, reason="no file locks on this system")
    def test_two_runs_never_write_one_journal(self, journal_path):
        first = Journal(journal_path, KEY)
        with pytest.raises(ResultProblem, match="another run is writing this result; wait for it"):
            Journal(journal_path, KEY)
        first.close()
        Journal(journal_path, KEY).close()

    @pytest.mark.parametrize("first", [b"5", b"[]", b"null", b'{"key": 3}', b'{"key": {}}', b'{"id": "image_0"}'])
    def test_a_file_that_is_no_journal(self, journal_path, first):
        journal_path.parent.mkdir(parents=True)
        journal_path.write_bytes(first + b"\n")
        with pytest.raises(
            ResultProblem, match=r"left by an unfinished run with other settings\. Choose another --out"
        ):
            Journal(journal_path, KEY)
        Journal(journal_path, KEY, overwrite=True).close()

    def test_failed_entries_are_tried_again(self, journal_path):
        failed = {"id": "image_1", "error": "ValueError: no"}
        self._write(journal_path, [ENTRIES[0], failed, ENTRIES[2]])
        journal = Journal(journal_path, KEY)
        assert list(journal.entries) == ["image_0", "image_2"]
        journal.add(ENTRIES[1])
        journal.close()
        again = Journal(journal_path, KEY)
        again.close()
        assert again.entries == {e["id"]: e for e in ENTRIES[:3]}

    def test_the_last_word_on_an_image_counts(self, journal_path):
        self._write(journal_path, [ENTRIES[0], {"id": "image_0", "error": "ValueError: now it fails"}])
        journal = Journal(journal_path, KEY)
        journal.close()
        assert journal.entries == {}


class TestProvenance:
    def test_says_what_computed_the_numbers(self):
        said = results.provenance()
        assert {"python", "salbench", "numpy", "scipy", "numba", "pillow"} <= set(said["versions"])
        json.dumps(said, allow_nan=False)
