"""Archives of results: the same bytes for the same results, and a message for everything that can be wrong."""

import getpass
import hashlib
import io
import json
import socket
import stat
import time
import zipfile

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from runs import PLAIN, evaluation_of

from salbench import datasets, result_archives, results
from salbench.archives import ArchiveProblem
from salbench.protocol import PROTOCOLS

JSON, CSV, MAP = "results/tiny/plain.json", "results/tiny/plain.csv", "maps/tiny/plain/image_0.png"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, make_samples, make_dataset):
    """A folder with `r`, complete runs of `plain` and `uniform` on `tiny` by lsun17, and `maps`, their maps."""
    from salbench import registry

    folder = tmp_path_factory.mktemp("finished")
    own = folder / "methods"
    own.mkdir()
    body = "\n".join(f"    {line}" for line in PLAIN.splitlines())
    header = "from salbench.registry import SaliencyMethod, register\n@register\nclass Own(SaliencyMethod):\n"
    (own / "plain.py").write_text(header + body + "\n")
    dataset = make_dataset(make_samples([(24, 32)] * 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_FOLDERS", [*registry._FOLDERS, own])
        evaluation = evaluation_of(dataset, folder / "r", PROTOCOLS["lsun17"], save_maps=folder / "maps")
        evaluation.run("plain")
        evaluation.run("uniform")
    return folder


@pytest.fixture
def archive(finished, tmp_path):
    """An archive of `plain` with its maps."""
    path = tmp_path / "mine.zip"
    result_archives.pack(finished / "r", path, methods=["plain"], maps=finished / "maps")
    return path


@pytest.fixture
def on_disk(monkeypatch, tiny):
    """The data set `tiny` can be opened by its name."""

    def load(name, root=None):
        if name != "tiny":
            raise datasets.DatasetProblem(f"no data set {name}")
        return tiny

    monkeypatch.setattr(datasets, "load", load)


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, content, *, listed=True):
    """An archive of {name: bytes}; by default with a manifest that lists them."""
    if listed:
        own = {name: hashlib.sha256(data).hexdigest() for name, data in content.items() if name != "manifest.json"}
        manifest = {"format": "salbench results", "schema": 1, "files": own}
        content = content | {"manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def edited(archive, name, change, **options):
    """The archive with a changed JSON file: `change` gets its content."""
    content = members(archive)
    fields = json.loads(content[name])
    change(fields)
    return write(archive, content | {name: json.dumps(fields).encode()}, **options)


def faults(path):
    return result_archives.check(path).faults


def test_the_same_results_give_the_same_bytes(finished, archive, tmp_path):
    again = tmp_path / "again.zip"
    result_archives.pack(finished / "r", again, methods=["plain"], maps=finished / "maps")
    assert again.read_bytes() == archive.read_bytes()


def test_holds_the_files_as_they_are_and_their_hashes(finished, archive):
    found = members(archive)
    assert found[JSON] == (finished / "r/tiny/plain.json").read_bytes()
    assert found[CSV] == (finished / "r/tiny/plain.csv").read_bytes()
    assert sum(name.startswith("maps/") for name in found) == 6
    listed = json.loads(found.pop("manifest.json"))["files"]
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def test_names_no_path_user_or_machine(finished, archive):
    whole = archive.read_bytes() + b"".join(data for name, data in members(archive).items() if name.endswith("json"))
    for secret in (str(finished), str(finished.parent), socket.gethostname(), f'"{getpass.getuser()}"', "/home"):
        assert secret.encode() not in whole


def test_a_packed_archive_has_no_fault(archive, on_disk):
    report = result_archives.check(archive)
    assert (report.faults, report.remarks) == ([], [])
    assert [(run.dataset, run.label) for run in report.runs] == [("tiny", "plain")]


def test_maps_are_scored_again(archive, on_disk, finished):
    (found,) = result_archives.check(archive).rescored
    means = results.read(finished / "r/tiny/plain.json").metrics
    assert found.exact
    assert found.claimed.keys() == {name for name, cell in means.items() if cell}
    assert_allclose([found.claimed[name] for name in found.claimed], [means[name]["mean"] for name in found.claimed])
    assert_allclose(list(found.recomputed.values()), list(found.claimed.values()))


def test_scores_that_are_not_those_of_the_maps(archive, on_disk):
    content = members(archive)
    content[MAP], content[MAP.replace("_0", "_1")] = content[MAP.replace("_0", "_1")], content[MAP]
    found = faults(write(archive, content))
    assert any(
        f.startswith("maps/tiny/plain: auc: expected 0.") and "computed from the maps, got 0." in f for f in found
    )


def test_maps_as_arrays_are_what_was_scored(finished, archive, on_disk, tiny, tmp_path):
    evaluation_of(tiny, tmp_path / "r", PROTOCOLS["tuebingen"]).run("uniform")
    own = tmp_path / "m/tiny/uniform"
    own.mkdir(parents=True)
    for sample in tiny.samples:
        np.save(own / f"{sample.id}.npy", np.ones(sample.size))
    result_archives.pack(tmp_path / "r", archive, maps=tmp_path / "m")
    (found,) = result_archives.check(archive).rescored
    assert found.exact
    assert_allclose(list(found.recomputed.values()), list(found.claimed.values()))
    np.save(own / "image_3.npy", np.arange(24 * 32.0).reshape(24, 32))
    result_archives.pack(tmp_path / "r", archive, maps=tmp_path / "m")
    assert any("maps/tiny/uniform: auc: expected" in fault and "image_3" in fault for fault in faults(archive))


def test_a_data_set_that_is_not_here_is_a_remark(archive):
    report = result_archives.check(archive)
    assert report.faults == []
    assert report.remarks[0].startswith("maps/tiny/plain: not scored again: ")


def test_a_data_set_with_other_content_is_a_remark(archive, on_disk, monkeypatch, mixed):
    monkeypatch.setattr(datasets, "load", lambda *_: mixed)
    assert "another content here than the one that was scored" in result_archives.check(archive).remarks[0]


class TestMembers:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("/etc/evil", "holds an absolute path, '/etc/evil'"),
            ("results/../../evil.json", 'holds a path with ".."'),
            ("results/tiny/plain.exe", "expected results/DATASET/LABEL.json or .csv, or maps/DATASET/LABEL/ID.png"),
            ("results/tiny/a\x1b[31m.json", "expected a printable name"),
        ],
    )
    def test_names(self, archive, name, message):
        found = faults(write(archive, members(archive) | {name: b"{}"}))
        assert any(message in fault for fault in found)

    def test_links(self, archive):
        content = members(archive)
        write(archive, content)
        link = zipfile.ZipInfo("results/tiny/link.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr(link, "/etc/passwd")
        assert any("holds a link, 'results/tiny/link.json'" in fault for fault in faults(archive))

    def test_the_same_name_twice(self, archive):
        with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
            file.writestr(JSON, "{}")
        assert f"{JSON}: expected once, the ZIP file holds it 2 times" in faults(archive)

    def test_bombs(self, archive):
        with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr("maps/tiny/plain/bomb.npy", bytes(2**26 + 1))
        assert "maps/tiny/plain/bomb.npy: expected at most 64 MiB, unpacks to 64 MiB" in faults(archive)

    def test_damage(self, archive):
        content = archive.read_bytes()
        at = content.index(members(archive)[MAP][20:60])
        archive.write_bytes(content[:at] + bytes(40) + content[at + 40 :])
        assert any(fault.startswith(f"{MAP}: damaged in the ZIP file (Bad CRC-32") for fault in faults(archive))

    def test_passwords(self, archive):
        content = bytearray(archive.read_bytes())
        at = content.index(b"PK\x01\x02")  # the first entry of the directory
        content[at + 8] |= 1
        archive.write_bytes(content)
        assert any("expected a member without a password" in fault for fault in faults(archive))

    @pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 and nothing more"])
    def test_no_zip_file(self, tmp_path, content):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(ArchiveProblem, match=r"a\.zip: expected a ZIP file made by `salbench results pack`"):
            result_archives.check(tmp_path / "a.zip")

    def test_no_file(self, tmp_path):
        with pytest.raises(ArchiveProblem, match="no such file"):
            result_archives.check(tmp_path / "a.zip")

    def test_nothing_in_it(self, tmp_path):
        assert faults(write(tmp_path / "a.zip", {})) == ["expected at least one result, found none"]

    def test_thirty_thousand_members_are_checked_in_seconds(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as file:
            for number in range(30_000):
                file.writestr(f"{number}.npy", b"")
        start = time.process_time()
        assert len(faults(tmp_path / "bomb.zip")) == 30_001  # one for each, and one for the manifest
        assert time.process_time() - start < 6  # a search through the earlier faults for each takes longer


class TestManifest:
    def test_missing(self, archive):
        content = members(archive)
        del content["manifest.json"]
        assert any(
            f.startswith("manifest.json: missing; expected") for f in faults(write(archive, content, listed=False))
        )

    @pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', "[" * 5000])
    def test_no_manifest(self, archive, text):
        found = faults(write(archive, members(archive) | {"manifest.json": text.encode()}, listed=False))
        assert any("manifest.json: expected" in fault and "got something else" in fault for fault in found)

    def test_another_schema(self, archive):
        found = faults(edited(archive, "manifest.json", lambda fields: fields.update(schema=2), listed=False))
        assert any("got format 'salbench results', schema 2" in fault for fault in found)

    def test_files_that_differ_from_it(self, archive):
        content = members(archive)
        content[JSON] += b" "
        content["results/tiny/new.csv"] = b""
        del content[MAP]
        found = faults(write(archive, content, listed=False))
        assert any(f.startswith(f"{JSON}: expected SHA-256") and "edited since it was packed" in f for f in found)
        assert "results/tiny/new.csv: not listed in manifest.json" in found
        assert f"{MAP}: expected by manifest.json, not in the archive" in found


class TestResults:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f.update(schema=1), "written in format 1"),
            (lambda f: f.pop("identity"), "expected the fields of a salbench result"),
            (lambda f: f.update(n_images="6"), "n_images: expected int, got '6'"),
            (lambda f: f.update(notes=[1]), "notes: expected list[str], got [1]"),
            (lambda f: f["identity"].update(seed="x"), "identity: seed: expected int, got 'x'"),
            (lambda f: f["identity"].update(seed=-1), "identity: seed: expected 0 or above, got -1"),
            (lambda f: f["identity"].update(method="other"), "expected the result of plain on tiny, got that of other"),
            (lambda f: f.update(n_failed=1, failures={"image_0": "no"}), "1 images failed; run the method again"),
            (lambda f: f.update(untrained=True), "expected a method with trained weights, got random ones"),
            (lambda f: f["metrics"].update(ack=None), "metrics: expected some of auc"),
            (lambda f: f["metrics"]["auc"].pop("n"), "metrics: auc: expected mean, low, high and n as finite numbers"),
            (lambda f: f["metrics"]["auc"].update(mean=float("nan")), "as finite numbers, got {'mean': nan"),
            (lambda f: f["metrics"]["auc"].update(mean=0.9), "metrics: auc: expected 0.5"),
            (lambda f: f["metrics"].update(nss=None), "computed from the CSV, got no value"),
            (lambda f: f.update(notes=["maps of /home/jane/maps/a"]), "expected no path of a machine, got '/home/jane"),
            (lambda f: f["provenance"].update(at=r"C:\Users\jane"), r"expected no path of a machine, got 'C:\\Users"),
            (lambda f: f["provenance"].update(at=[{"x": "~/maps"}]), "expected no path of a machine, got '~/maps'"),
        ],
    )
    def test_json(self, archive, change, message):
        assert any(fault.startswith(JSON) and message in fault for fault in faults(edited(archive, JSON, change)))

    @pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"[" * 100000, b'{"schema": 2, "identity": ' + b"[" * 900])
    def test_no_json(self, archive, text):
        found = faults(write(archive, members(archive) | {JSON: text}))
        assert any(fault.startswith(f"{JSON}: expected a salbench result, got something else") for fault in found)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.replace("id,auc", "id,ack"), "expected the columns id,auc,auc_judd"),
            (lambda t: "", "got nothing"),
            (lambda t: t + "image_9,1\n", "expected 10 cells in every line, not so in line 8"),
            (
                lambda t: t.replace("image_1,0.", "image_1,7."),
                "within the bounds of the metric, or nothing, got image_1",
            ),
            (lambda t: t.replace("image_1,", "image_1,x"), "got image_1 (auc 'x0."),
            (lambda t: t.replace("image_1,0.", "image_1,nan0."), "got image_1 (auc 'nan0."),
            (lambda t: t.replace("image_1", "image_0"), "expected each image once, got several lines of image_0"),
            (lambda t: t.replace("image_1", "/home/jane/a.png"), "expected no path of a machine, got /home/jane/a.png"),
            (lambda t: t[: t.rindex("image_5")], "expected 6 images, as the JSON says, got 5"),
        ],
    )
    def test_csv(self, archive, change, message):
        content = members(archive)
        found = faults(write(archive, content | {CSV: change(content[CSV].decode()).encode()}))
        assert any(fault.startswith(CSV) and message in fault for fault in found)

    def test_a_csv_in_another_encoding(self, archive):
        found = faults(write(archive, members(archive) | {CSV: b"id,\xff"}))
        assert any(fault.startswith(f"{CSV}: expected a CSV table in UTF-8") for fault in found)

    @pytest.mark.parametrize(("gone", "left"), [(JSON, CSV), (CSV, JSON)])
    def test_one_of_two_files(self, archive, gone, left):
        content = members(archive)
        del content[gone]
        assert f"{gone}: expected beside {left}, not in the archive" in faults(write(archive, content))

    def test_every_fault_is_in_one_report(self, archive):
        edited(archive, JSON, lambda f: (f.update(untrained=True), f["metrics"].update(ack=None)))
        found = faults(write(archive, members(archive) | {"results/tiny/b.csv": b"", "/evil": b""}))
        assert len(found) >= 4

    def test_intervals_of_another_version_are_a_remark(self, archive):
        report = result_archives.check(edited(archive, JSON, lambda f: f["metrics"]["auc"].update(low=0.1)))
        assert report.faults == []
        assert report.remarks[0].startswith(f"{JSON}: intervals of auc: this version of salbench computes others")


class TestMaps:
    def test_missing_and_extra(self, archive):
        content = members(archive)
        content["maps/tiny/plain/other.png"] = content.pop(MAP)
        found = faults(write(archive, content))
        assert "maps/tiny/plain: expected a map of every image, got none of image_0" in found
        assert "maps/tiny/plain: expected maps of scored images only, got other" in found

    def test_two_of_one_image(self, archive):
        found = faults(write(archive, members(archive) | {MAP.replace("png", "npy"): b""}))
        assert any("expected one map of this image, got" in fault for fault in found)

    def test_without_a_result(self, archive):
        content = {name: data for name, data in members(archive).items() if not name.startswith("results/")}
        assert "maps/tiny/plain: expected a result of these maps, found none" in faults(write(archive, content))

    def test_unreadable(self, archive, on_disk):
        found = faults(write(archive, members(archive) | {MAP: b"no picture"}))
        assert any(fault.startswith(f"{MAP}: not a readable picture") for fault in found)

    def test_of_another_size(self, archive, on_disk):
        picture = io.BytesIO()
        Image.new("L", (3, 3), 9).save(picture, "PNG")
        found = faults(write(archive, members(archive) | {MAP: picture.getvalue()}))
        assert f"{MAP}: expected a map of (24, 32), as --save-maps writes it, got (3, 3)" in found


class TestPack:
    def test_nothing(self, tmp_path, finished):
        for chosen in ({"methods": ["x"]}, {"datasets": ["x"]}):
            with pytest.raises(ArchiveProblem, match="expected results of runs to pack, found none"):
                result_archives.pack(finished / "r", tmp_path / "a.zip", **chosen)

    def test_a_result_with_a_fault(self, finished, tmp_path):
        (tmp_path / "r/tiny").mkdir(parents=True)
        fields = json.loads((finished / "r/tiny/plain.json").read_text()) | {"notes": ["see /home/jane/maps"]}
        (tmp_path / "r/tiny/plain.json").write_text(json.dumps(fields))
        (tmp_path / "r/tiny/plain.csv").write_bytes((finished / "r/tiny/plain.csv").read_bytes())
        with pytest.raises(ArchiveProblem, match=r"not written, because of faults:\n.*expected no path of a machine"):
            result_archives.pack(tmp_path / "r", tmp_path / "a.zip")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]


class TestMerge:
    def test_unites_results(self, finished, archive, tmp_path):
        other = tmp_path / "other.zip"
        result_archives.pack(finished / "r", other)
        merged = result_archives.merge([archive, other], tmp_path / "all")
        assert (merged.added, merged.kept, merged.conflicts) == (["tiny/plain", "tiny/uniform"], [], [])
        for name in ("plain.json", "plain.csv", "uniform.json", "uniform.csv"):
            assert (tmp_path / "all/tiny" / name).read_bytes() == (finished / "r/tiny" / name).read_bytes()
        again = result_archives.merge([other], tmp_path / "all")
        assert (again.added, again.kept) == ([], ["tiny/plain", "tiny/uniform"])

    def test_rounding_and_dates_are_no_disagreement(self, archive, tmp_path):
        other = tmp_path / "other.zip"
        other.write_bytes(archive.read_bytes())
        edited(other, JSON, lambda f: (f["provenance"].update(date="2001-01-01"), f.update(seconds=1)))
        assert result_archives.merge([archive, other], tmp_path / "all").added == ["tiny/plain"]

    def other_scores(self, archive, tmp_path):
        """The archive with another score of one image, and the means that follow."""
        content = members(archive)
        table = pandas.read_csv(io.BytesIO(content[CSV]))
        table.loc[2, "nss"] += 0.25
        fields = json.loads(content[JSON])
        fields["metrics"]["nss"]["mean"] = table["nss"].mean()
        path = tmp_path / "other.zip"
        return write(path, content | {CSV: table.to_csv(index=False).encode(), JSON: json.dumps(fields).encode()})

    def test_other_scores_are_shown_and_not_merged(self, archive, tmp_path):
        other = self.other_scores(archive, tmp_path)
        merged = result_archives.merge([archive, other], tmp_path / "all")
        assert merged.added == []
        (line,) = merged.conflicts
        assert line.startswith(
            f"tiny/plain: {other} and {archive} disagree: the scores of 1 of 6 images, most on image_2"
        )
        assert not (tmp_path / "all").exists()

    def test_a_folder_is_never_overwritten(self, archive, tmp_path):
        result_archives.merge([archive], tmp_path / "all")
        before = (tmp_path / "all/tiny/plain.csv").read_bytes()
        merged = result_archives.merge([self.other_scores(archive, tmp_path)], tmp_path / "all")
        assert len(merged.conflicts) == 1
        assert (tmp_path / "all/tiny/plain.csv").read_bytes() == before

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda f: f["identity"].update(seed=1, weights="0"), "other settings (the weights or maps differ"),
            (lambda f: f.update(n_seen=3), "disagree: the fields n_seen of the JSON"),
        ],
    )
    def test_other_facts_are_shown(self, archive, tmp_path, change, message):
        other = tmp_path / "other.zip"
        other.write_bytes(archive.read_bytes())
        merged = result_archives.merge([archive, edited(other, JSON, change)], tmp_path / "all")
        assert message in merged.conflicts[0]

    def test_an_archive_with_a_fault_stops_the_merge(self, archive, tmp_path):
        other = tmp_path / "other.zip"
        write(other, members(archive) | {CSV: b""})
        with pytest.raises(
            ArchiveProblem, match=r"other\.zip: nothing was merged, because of faults: .*salbench results"
        ):
            result_archives.merge([archive, other], tmp_path / "all")
        assert not (tmp_path / "all").exists()
