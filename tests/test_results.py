import csv
import errno
import json
from dataclasses import replace

import pytest

from salbench import results, writing
from salbench.identity import Identity
from salbench.results import Result, ResultProblem

FACTS = {
    "method": "mine+v1",
    "dataset": "tiny",
    "fingerprint": "f1n9",
    "protocol": "mit",
    "protocol_version": 1,
    "seed": 0,
}
RESULT = Result(
    identity=Identity(FACTS),
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
        assert content["identity"] == FACTS

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
        real, calls = getattr(writing.os, call), []

        def sometimes(*arguments):
            calls.append(arguments)
            return _disk_full() if len(calls) == failing else real(*arguments)

        monkeypatch.setattr(writing.os, call, sometimes)
        with pytest.raises(OSError, match="No space left on device"):
            results.write(replace(RESULT, seconds=9.0), ROWS[::-1], tmp_path)
        new = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert set(new) == set(old)  # nothing half-written lies about
        assert new["mine+v1.json"] == old["mine+v1.json"]
        # The table of images goes first, so that a new result never stands beside an old table.
        assert (new["mine+v1.csv"] == old["mine+v1.csv"]) == (failing == 1)

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "[1]", "5", "null", '"schema"', "{}", '{"identity": 1}', "\0\0", b"\xff\xfe{"],
    )
    def test_garbage(self, tmp_path, content):
        path = tmp_path / "x.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ResultProblem, match=r"x\.json: expected a salbench result, got something else"):
            results.read(path)

    @pytest.mark.parametrize("schema", [0, 1, "2", None])
    def test_another_schema(self, tmp_path, schema):
        self._written(tmp_path, schema=schema)
        with pytest.raises(ResultProblem, match=rf"written in format {schema}, this version reads 2; run the method"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    @pytest.mark.parametrize(
        "change",
        [{"colour": "blue"}, {"identity": None}, {"identity": 5}, {"identity": [1]}, {"identity": {}}],
    )
    def test_fields_of_another_version(self, tmp_path, change):
        self._written(tmp_path, **change)
        with pytest.raises(ResultProblem, match=r"mine\+v1\.json: expected the fields of a salbench result"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_images": "2"}, "n_images: expected int, got '2'. Run the method again"),
            ({"notes": 1}, r"notes: expected list\[str\], got 1"),
            (
                {"metrics": {"auc": {"mean": 0.5}}},
                "metrics: auc: expected mean, low, high and n as finite numbers, got",
            ),
            (
                {"metrics": {"auc": {"mean": 10**400, "low": 0, "high": 0, "n": 1}}},
                "auc: expected mean, low, high and n",
            ),
            ({"metrics": [1]}, "metrics: expected dict"),
            ({"zero_share": float("nan")}, "zero_share: expected"),
            ({"identity": FACTS | {"dataset": 3}}, "identity: dataset: expected str, got 3"),
        ],
    )
    def test_a_field_of_another_type(self, tmp_path, change, message):
        self._written(tmp_path, **change)
        with pytest.raises(ResultProblem, match=rf"mine\+v1\.json: .*{message}"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    @pytest.mark.parametrize("missing", ["metrics", "identity", "seconds"])
    def test_a_field_is_missing(self, tmp_path, missing):
        self._written(tmp_path, without=missing)
        with pytest.raises(ResultProblem, match=f"expected the fields of a salbench result: .*'{missing}'"):
            results.read(tmp_path / "tiny" / "mine+v1.json")

    def test_read_all(self, tmp_path):
        for method in ("zeta", "alpha", "mine+v1"):
            results.write(replace(RESULT, identity=Identity(FACTS | {"method": method})), ROWS, tmp_path)
        results.write(replace(RESULT, identity=Identity(FACTS | {"dataset": "other"})), ROWS, tmp_path)
        assert list(results.read_all(tmp_path, "tiny")) == ["alpha", "mine+v1", "zeta"]
        assert results.read_all(tmp_path, "tiny")["alpha"].method == "alpha"
        assert results.read_all(tmp_path, "nowhere") == {}

    def _written(self, out, without=None, **changes):
        results.write(RESULT, ROWS, out)
        path = out / "tiny" / "mine+v1.json"
        content = json.loads(path.read_text()) | changes
        content.pop(without, None)
        path.write_text(json.dumps(content))


class TestLoad:
    @pytest.fixture
    def folder(self, tmp_path):
        for method in ("mine+v1", "alpha"):
            results.write(replace(RESULT, identity=Identity(FACTS | {"method": method})), ROWS, tmp_path)
        results.write(replace(RESULT, identity=Identity(FACTS | {"dataset": "007"})), ROWS, tmp_path)
        (tmp_path / "paper").mkdir()
        (tmp_path / "paper" / "table1.json").write_text("{}")
        return tmp_path

    def test_scores_have_a_row_per_image(self, folder):
        scores = results.load(folder).scores
        assert list(scores.index.names) == ["dataset", "method", "protocol", "image"]
        assert scores.shape == (9, 2)
        assert scores.loc["007", "mine+v1", "mit v1", "b"]["auc"] == 0.1 + 0.2
        assert scores["ig"].isna().all()

    def test_means_have_a_row_per_method_and_data_set(self, folder):
        means = results.load(folder).means
        assert means.loc["tiny", "alpha", "mit v1"]["auc", "low"] == 0.7
        assert list(means.xs("007", level="dataset").index.get_level_values("method")) == ["mine+v1"]

    def test_one_data_set(self, folder):
        assert set(results.load(folder / "tiny").means.index.get_level_values("dataset")) == {"tiny"}

    def test_an_id_that_looks_like_a_number_stays_text(self, tmp_path):
        results.write(RESULT, [{"id": "0012", "auc": 0.5, "ig": 1.0}], tmp_path)
        assert results.load(tmp_path).scores.index.get_level_values("image").tolist() == ["0012"]

    def test_nothing_there(self, tmp_path):
        with pytest.raises(ResultProblem, match="expected results of runs"):
            results.load(tmp_path)
