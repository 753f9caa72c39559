"""`salbench data`: the files of data sets listed, checked, downloaded and recognised."""

import functools
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from builders import SALICON_LISTS, write_gaze, write_image

from salbench import cli, dataset_files, listing
from salbench.datasets import DATASETS, DatasetProblem, load, osie, salicon, source
from salbench.datasets._common import Published
from salbench.locks import Busy, only_one


class TestList:
    def test_where_each_is(self, osie_tree, salicon_tree, capsys):
        assert cli.main(["data", "--json", "--data-root", str(osie_tree)]) == 0
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert list(rows) == list(DATASETS)
        assert rows["osie_test"] | {"how": "", "summary": ""} == {
            "name": "osie_test",
            "summary": "",
            "train": "osie_train",
            "images": 200,
            "size": "800 x 600",
            "licence": "MIT",
            "found": str(osie_tree / "OSIE"),
            "how": "",
        }
        assert rows["osie_test"]["how"].endswith("Or: salbench data get osie")
        assert rows["salicon_val"]["found"] == str(osie_tree / "SALICON")
        assert rows["figrim"]["found"] == f"not in {osie_tree}"
        assert rows["popout"]["found"] == "needs no files"

    def test_the_table_ends_with_what_to_get(self, osie_tree, capsys):
        assert cli.main(["data", "--data-root", str(osie_tree)]) == 0
        table, _, missing = capsys.readouterr().out.partition("How to get those that are missing:")
        assert "cat2000_train" in table
        assert missing.count("SALICON 2017: unpack") == 1  # of three splits
        assert "OSIE: clone" not in missing

    def test_an_incomplete_folder(self, tmp_path):
        (tmp_path / "OSIE").mkdir()
        rows = {row["name"]: row for row in listing.data_files(tmp_path)}
        assert rows["osie"]["found"] == f"incomplete: {tmp_path / 'OSIE'}"

    def test_a_package_that_cannot_be_imported(self, monkeypatch):
        broken = replace(DATASETS["osie"], module="salbench.datasets.nowhere")
        monkeypatch.setitem(DATASETS, "broken", broken)
        (row,) = (row for row in listing.data_files() if row["name"] == "broken")
        assert row["summary"].startswith("BROKEN: broken: cannot import salbench.datasets.nowhere")

    def test_every_data_set_with_files_says_where_it_is_from(self):
        for name, row in DATASETS.items():
            known = source(name)
            assert (known is None) == (name in ("popout", "folder"))
            assert (row.images is None) == (name == "folder")
            assert known is None or all((known.folders, known.marks, known.how, known.licence, known.size))


class TestCheck:
    def test_a_good_copy(self, osie_tree, capsys):
        assert cli.main(["data", "check", "osie_test", "--data-root", str(osie_tree)]) == 0
        assert capsys.readouterr().out == "osie_test: 4 images read, no problems\n"

    def test_all_problems_at_once(self, salicon_tree, monkeypatch, capsys):
        base = salicon_tree / "SALICON"
        for number in (50, 60, 70):
            stem = f"COCO_val2014_{number:012d}"
            write_image(base / f"images/val/{stem}.jpg", (480, 640))
            write_image(base / f"maps/val/{stem}.png", (480, 640))
            write_gaze(base / f"fixations/val/{stem}.mat", SALICON_LISTS[0])
        monkeypatch.setattr(salicon, "EXPECTED", {"val": Published(5, 18, (1.0, 2.0))})
        (base / "fixations/val/COCO_val2014_000000000009.mat").unlink()  # missing
        (base / "fixations/val/COCO_val2014_000000000036.mat").write_bytes(b"")  # unreadable
        (base / "fixations/val/COCO_val2014_000000000050.mat").write_bytes(b"MATLAB")
        write_image(base / "images/val/COCO_val2014_000000000060.jpg", (240, 320))  # of another size
        write_image(base / "maps/val/COCO_val2014_000000000060.png", (240, 320))
        (base / "images/val/COCO_val2014_000000000070.jpg").write_bytes(b"\xff\xd8")
        assert cli.main(["data", "check", "salicon_val", "--data-root", str(salicon_tree)]) == 1
        out = capsys.readouterr().out
        for part in (
            "1 are missing, such as COCO_val2014_000000000009.mat. Found 4. To use only these, add --partial.",
            "000036.mat: not a readable MATLAB file",
            "000050.mat: not a readable MATLAB file",
            "COCO_val2014_000000000060: expected a uint8 (480, 640, 3) image, got uint8 (240, 320, 3)",
            "000060.png: expected the (height, width) of its image, (480, 640), got (240, 320)",
            "000070.jpg: not a readable picture",
        ):
            assert out.count(part) == 1, part
        assert out.endswith("salicon_val: 4 images read, 6 problems\n")

    def test_other_counts(self, osie_tree, monkeypatch):
        monkeypatch.setattr(osie, "EXPECTED", replace(osie.EXPECTED, fixations=7))
        images, problems = dataset_files.check("osie", osie_tree)
        assert (images, len(problems)) == (14, 1)
        assert "expected the published 7 fixations" in problems[0]

    def test_a_folder_of_my_own(self, tmp_path, capsys):
        for id in "abcd":
            write_image(tmp_path / f"images/{id}.png", (30, 40))
            write_image(tmp_path / f"fixations/{id}.png", (30, 40) if id == "a" else (3, 4), 255 if id == "a" else 0)
        (tmp_path / "fixations/d.png").unlink()
        np.save(tmp_path / "fixations/d.npy", [[50, 1]])
        (tmp_path / "images/c.png").write_bytes(b"")
        assert cli.main(["data", "check", f"folder:{tmp_path}"]) == 1
        out = capsys.readouterr().out
        for part in (
            "a.png: expected white pixels on black, got 100% white pixels",
            "fixations/b.png: expected the (height, width) of its image, (30, 40), got (3, 4)",
            "images/c.png: not a readable picture",
            "d.npy: 1 of 1 fixations are off the image of 40 x 30 pixels",
        ):
            assert out.count(part) == 1, part

    def test_a_table_of_all_images(self, tmp_path):
        for id in "ab":
            write_image(tmp_path / f"{id}.png", (30, 40))
        (tmp_path / "fixations.csv").write_text("image,x,y\na,50,3\nb,1,20\nb,1,30\n")
        images, problems = dataset_files.check(f"folder:{tmp_path}")
        assert images == 2
        assert [problem.partition(": ")[0][-7:] for problem in problems[:2]] == ["image a", "image b"]

    def test_a_part_is_no_problem_if_allowed(self, osie_tree, capsys):
        (osie_tree / "OSIE/data/stimuli/1001.jpg").unlink()
        words = ["data", "check", "osie", "--data-root", str(osie_tree)]
        assert cli.main(words) == 1
        assert cli.main([*words, "--partial"]) == 0
        assert "osie: 13 images read, no problems" in capsys.readouterr().out

    def test_images_without_ground_truth_among_others(self, tmp_path, capsys):
        for name in "abc":
            write_image(tmp_path / "images" / f"{name}.png", (24, 32))
        (tmp_path / "fixations.csv").write_text("image,x,y\na,3,4\nc,5,6\n")
        assert cli.main(["data", "check", f"folder:{tmp_path}"]) == 1
        assert "1 of 3 images have no fixations and no density, such as b" in capsys.readouterr().out

    def test_it_reads_what_the_cache_holds(self, salicon_tree):
        """The cache hides damage that left the size and the time of a file as they were."""
        load("salicon_val", salicon_tree)
        path = salicon_tree / "SALICON/fixations/val/COCO_val2014_000000000009.mat"
        stat = path.stat()
        path.write_bytes(b"x" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert any(
            "000009.mat: not a readable" in problem for problem in dataset_files.check("salicon_val", salicon_tree)[1]
        )

    def test_not_there(self, tmp_path):
        images, problems = dataset_files.check("osie", tmp_path)
        assert (images, len(problems)) == (0, 1)

    def test_unknown_name(self, capsys):
        assert cli.main(["data", "check", "osei"]) == 2
        assert "unknown data set 'osei'. Did you mean 'osie'" in capsys.readouterr().err


@pytest.fixture
def served(osie_tree, tmp_path, monkeypatch):
    """OSIE as a ZIP file on a server in this process, and nothing in the data root. Returns the data root."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    site, root = tmp_path / "site", tmp_path / "root"
    site.mkdir()
    gaze = "data/eye/fixations.mat"
    sums = {gaze: hashlib.sha256((osie_tree / "OSIE" / gaze).read_bytes()).hexdigest()}
    (osie_tree / "OSIE").rename(site / "repository-abc123")
    shutil.make_archive(str(site / "osie"), "zip", site, "repository-abc123")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds until it sees that it is shut down
    thread.start()
    hash = f"sha256:{hashlib.sha256((site / 'osie.zip').read_bytes()).hexdigest()}"
    url = f"http://127.0.0.1:{server.server_port}/osie.zip"
    monkeypatch.setattr(osie, "SOURCE", replace(osie.SOURCE, archive=url, hash=hash, sums=sums))
    yield root
    server.shutdown()
    thread.join()
    server.server_close()


class TestGet:
    def test_downloaded_and_checked(self, served, capsys):
        assert cli.main(["data", "get", "osie_test", "--data-root", str(served)]) == 0
        assert capsys.readouterr().out == (
            f"osie_test: downloaded to {served / 'OSIE'}\nosie_test: 4 images read, no problems\n"
        )
        assert [path.name for path in served.iterdir()] == ["OSIE"]

    def test_what_is_there_is_kept(self, served):
        (served / "OSIE").mkdir(parents=True)
        with pytest.raises(DatasetProblem, match=r"OSIE: is there already; .* or remove it first"):
            dataset_files.download("osie", served)

    def test_one_at_a_time(self, served):
        busy = pytest.raises(Busy, match="OSIE: another process is downloading this data set; wait for it")
        with only_one(served / "OSIE", "is downloading this data set"), busy:
            dataset_files.download("osie", served)
        assert list(served.iterdir()) == []

    def test_what_a_download_that_was_killed_left_is_removed(self, served):
        (served / ".OSIE.download" / "content").mkdir(parents=True)
        (served / ".OSIE.download" / "archive.zip").write_text("half")
        dataset_files.download("osie", served)
        assert [path.name for path in served.iterdir()] == ["OSIE"]

    def test_another_hash(self, served, monkeypatch):
        monkeypatch.setattr(osie, "SOURCE", replace(osie.SOURCE, hash="md5:" + "0" * 32))
        with pytest.raises(DatasetProblem, match=r"osie: cannot download http.*hash.*OSIE: clone"):
            dataset_files.download("osie", served)
        assert list(served.iterdir()) == []

    def test_other_fixations(self, served, monkeypatch):
        monkeypatch.setattr(osie, "SOURCE", replace(osie.SOURCE, sums={"data/eye/fixations.mat": "0" * 64}))
        with pytest.raises(
            DatasetProblem, match=r"expected data/eye/fixations\.mat with SHA-256 000000000000\.\.\., got"
        ):
            dataset_files.download("osie", served)
        assert list(served.iterdir()) == []

    def test_no_such_page(self, served, monkeypatch):
        monkeypatch.setattr(osie, "SOURCE", replace(osie.SOURCE, archive=f"{osie.SOURCE.archive}.gone"))
        with pytest.raises(DatasetProblem, match=r"cannot download .*\.gone: 404.*OSIE: clone"):
            dataset_files.download("osie", served)
        assert list(served.iterdir()) == []

    @pytest.mark.parametrize("name", ["salicon_val", "popout"])
    def test_no_link(self, name, tmp_path):
        with pytest.raises(DatasetProblem, match=f"{name}: has no direct link.*can be downloaded: osie, osie_train"):
            dataset_files.download(name, tmp_path)

    def test_without_pooch(self, served, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "pooch", None)
        assert cli.main(["data", "get", "osie", "--data-root", str(served)]) == 2
        assert "needs pooch: python -m pip install" in capsys.readouterr().err

    def test_links_are_of_data_sets_with_a_known_licence(self):
        linked = {source(name).folders[0]: source(name) for name in DATASETS if source(name) and source(name).archive}
        assert sorted(linked) == ["EyeCrowd", "OSIE", "Scene"]
        for known in linked.values():
            assert known.licence == "MIT"
            assert known.archive.startswith("https://github.com/")
            assert known.hash or known.sums

    @pytest.mark.parametrize("name", ["osie", "eyecrowd", "nus_scene"])
    def test_hashes_are_those_of_the_published_fixations(self, real_root, name):
        known = source(name)
        folder = real_root(known.folders[0]) / known.folders[0]
        assert {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in known.sums} == known.sums


@pytest.fixture
def unusual(tmp_path):
    """A folder in a layout that is not known, whose ids need the folders they are in."""
    for place in ("day", "night"):
        write_image(tmp_path / f"mine/pics/{place}/a.png", (30, 40))
        write_image(tmp_path / f"mine/heat/{place}/a_heat.png", (30, 40))
        (tmp_path / f"mine/eye/fix/{place}").mkdir(parents=True)
        np.save(tmp_path / f"mine/eye/fix/{place}/a.npy", [[1, 2], [3, 4]])
    return tmp_path / "mine"


class TestImport:
    @pytest.mark.parametrize("folder", ["", "SALICON"])
    def test_a_known_data_set(self, salicon_tree, folder, capsys):
        place = salicon_tree / folder
        assert cli.main(["data", "import", str(place)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{place} holds salicon_train, salicon_val, salicon_test.")
        assert lines[-1] == f"  salbench run --dataset salicon_val --data-root {place}"
        check, run = (line.split()[1:] for line in lines[1:])
        assert cli.main(check) == 0
        assert cli.main([*run, "--methods", "uniform", "--out", str(salicon_tree / "out")]) == 0

    @pytest.mark.parametrize("fixations", [True, False])
    def test_a_folder_of_my_own(self, tmp_path, fixations, capsys):
        write_image(tmp_path / "mine" / "images" / "a.png", (30, 40))
        if fixations:
            (tmp_path / "mine" / "fixations").mkdir()
            np.save(tmp_path / "mine" / "fixations" / "a.npy", np.ones((3, 2)))
        assert cli.main(["data", "import", str(tmp_path / "mine")]) == 0
        out = capsys.readouterr().out
        assert f"1 images, {'fixations' if fixations else 'no fixations'}" in out
        assert f"salbench {'run' if fixations else 'show'} --dataset folder:{tmp_path / 'mine'}" in out

    def test_densities_without_fixations_can_be_scored(self, tmp_path, capsys):
        write_image(tmp_path / "mine" / "images" / "a.png", (30, 40))
        write_image(tmp_path / "mine" / "maps" / "a.png", (30, 40))
        assert cli.main(["data", "import", str(tmp_path / "mine")]) == 0
        out = capsys.readouterr().out
        assert "1 images, densities without fixations" in out
        assert f"salbench run --dataset folder:{tmp_path / 'mine'}" in out

    def test_a_needed_description_is_written_when_asked(self, unusual, capsys):
        words = ["data", "import", str(unusual)]
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert "It needs this dataset.toml (--write writes it):\n  images = " in out
        assert not (unusual / "dataset.toml").exists()
        assert cli.main([*words, "--write"]) == 0
        written = (unusual / "dataset.toml").read_text()
        assert f"Wrote {unusual / 'dataset.toml'}:\n  {written.splitlines()[0]}" in capsys.readouterr().out
        assert all(f"  {line}\n" in out for line in written.splitlines())
        dataset = load(f"folder:{unusual}")
        assert [(s.id, len(s.fixations), s.read_density().shape) for s in dataset.samples] == [
            ("day/a", 2, (30, 40)),
            ("night/a", 2, (30, 40)),
        ]

    def test_one_that_is_there_is_never_replaced(self, unusual, capsys):
        (unusual / "dataset.toml").write_text('images = "pics/**/{id}.png"\n')
        assert cli.main(["data", "import", str(unusual)]) == 0
        out = capsys.readouterr().out
        assert "2 images, no fixations" in out
        assert "dataset.toml" not in out
        assert cli.main(["data", "import", str(unusual), "--write"]) == 2
        assert "dataset.toml: is there already; edit it, or remove it first" in capsys.readouterr().err
        assert (unusual / "dataset.toml").read_text() == 'images = "pics/**/{id}.png"\n'

    def test_a_folder_in_a_known_layout_gets_what_is_there(self, tmp_path, capsys):
        write_image(tmp_path / "images" / "a.png", (30, 40))
        (tmp_path / "fixations.csv").write_text("image,x,y\na,50,3\na,1,2\n")
        assert cli.main(["data", "import", str(tmp_path)]) == 2
        assert "1 of 2 fixations are off the image" in capsys.readouterr().err
        assert cli.main(["data", "import", str(tmp_path), "--off-image", "drop", "--write"]) == 0
        lines = (tmp_path / "dataset.toml").read_text().splitlines()
        assert lines[:-1] == ['images = "images/{id}"', 'fixations = "fixations.csv"', 'off_image = "drop"']
        assert lines[-1].startswith("# optional: maps, base, sigma")
        assert load(f"folder:{tmp_path}").left_out == {"off_image": 1, "lost": 0}

    def test_a_named_data_set_needs_none(self, salicon_tree, capsys):
        assert cli.main(["data", "import", str(salicon_tree), "--write"]) == 2
        assert "needs no dataset.toml, because it holds salicon_train" in capsys.readouterr().err

    def test_why_what_was_found_cannot_be_scored(self, tmp_path, capsys):
        write_image(tmp_path / "images" / "a.png", (30, 40))
        write_image(tmp_path / "images" / "b.png", (30, 40))
        write_image(tmp_path / "heatmaps" / "a.png", (30, 40))
        assert cli.main(["data", "import", str(tmp_path)]) == 2
        assert "expected one map per image, found none for 1 of 2, such as b" in capsys.readouterr().err

    def test_neither(self, tmp_path, capsys):
        assert cli.main(["data", "import", str(tmp_path)]) == 2
        assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "data check: expected NAME after it"),
        (["import"], "data import: expected DIR after it"),
        (["check", "osie", "--write"], "--write requires: data import, got data check"),
        (["list", "osie"], "data list: expected no name after it, got 'osie'"),
    ],
)
def test_words(words, message, capsys):
    assert cli.main(["data", *words]) == 2
    assert message in capsys.readouterr().err
