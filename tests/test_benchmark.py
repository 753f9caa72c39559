"""Each verb of the command line, end to end on small real input."""

import csv
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import benchmark
from salbench import registry
from salbench.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _only_our_methods(monkeypatch):
    monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))


@pytest.fixture
def images(tmp_path):
    """A folder data set: three pictures, three observers, x drifting to the right."""
    rng = np.random.default_rng(3)
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    rows = []
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / "images" / f"{name}.png")
        rows += [(name, *(rng.random(2) * [64, 48]), observer) for observer in range(3) for _ in range(4)]
    with open(folder / "fixations.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "x", "y", "observer"), *rows])
    return folder


def run(*arguments):
    return benchmark.main([str(a) for a in arguments])


def test_the_default_is_every_method_on_the_embedded_set(tmp_path, capsys):
    assert run("--out", tmp_path, "--workers", 2) == 0
    printed = capsys.readouterr().out
    for name in ("uniform", "center_bias", "spectral_residual", "inter_observer (ceiling)"):
        assert f"| {name} " in printed
    assert "SIMULATED gaze" in printed
    assert "skipped from_folder: needs a folder or zip of maps: --methods from_folder:DIR" in printed
    result = json.loads((tmp_path / "popout" / "spectral_residual.json").read_text())
    assert result["metrics"]["auc"]["mean"] > 0.65
    assert result["n_images"] == 30
    with open(tmp_path / "popout" / "spectral_residual.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", *METRICS]
    assert np.mean([float(r["auc"]) for r in rows]) == pytest.approx(result["metrics"]["auc"]["mean"], abs=1e-12)


def test_a_second_run_keeps_what_is_complete(tmp_path):
    run("--out", tmp_path, "--methods", "uniform", "--limit", 3)
    before = (tmp_path / "popout_first3" / "uniform.json").read_bytes()
    run("--out", tmp_path, "--methods", "uniform", "--limit", 3)
    assert (tmp_path / "popout_first3" / "uniform.json").read_bytes() == before


def test_other_settings_are_refused_and_overwrite_replaces(tmp_path, capsys):
    common = "--out", tmp_path, "--methods", "uniform", "--limit", 3
    assert run(*common) == 0
    assert run(*common[:2], "--methods", "uniform,center_bias", "--limit", 3, "--protocol", "mit") == 1
    printed = capsys.readouterr()
    assert "refused uniform: " in printed.err
    assert "protocol mit instead of tuebingen" in printed.err
    assert "| center_bias" in printed.out  # the others go on
    assert run(*common, "--protocol", "mit", "--overwrite") == 0
    assert json.loads((tmp_path / "popout_first3" / "uniform.json").read_text())["key"]["protocol"] == "mit"


def test_a_folder_of_maps_on_a_folder_of_images(images, tmp_path, capsys):
    maps = tmp_path / "maps"
    run("--methods", "center_bias", "--dataset", f"folder:{images}", "--out", tmp_path / "r", "--save-maps", maps)
    saved = maps / "folder+mine" / "center_bias"
    assert sorted(p.name for p in saved.iterdir()) == ["a.png", "b.png", "c.png"]
    assert run("--methods", f"from_folder:{saved}", "--dataset", f"folder:{images}", "--out", tmp_path / "r") == 0
    assert "from_folder+center_bias" in capsys.readouterr().out
    (saved / "b.png").unlink()
    (saved / "c.png").write_bytes(b"")
    out = tmp_path / "r2"
    assert run("--methods", f"from_folder:{saved}", "--dataset", f"folder:{images}", "--out", out) == 1
    captured = capsys.readouterr()
    assert "(incomplete, 2 of 3 failed)" in captured.out
    assert "expected a map named b" in captured.err
    result = json.loads((out / "folder+mine" / "from_folder+center_bias.json").read_text())
    assert set(result["failures"]) == {"b", "c"}
    assert result["metrics"]["auc"] is None


def test_a_method_in_one_file(images, tmp_path, capsys):
    folder = tmp_path / "my_methods"
    folder.mkdir()
    (folder / "bright.py").write_text(readme_examples()[0], encoding="utf-8")
    arguments = "--methods-dir", folder, "--methods", "bright", "--dataset", f"folder:{images}", "--out", tmp_path / "r"
    assert run(*arguments) == 0
    assert "| bright " in capsys.readouterr().out


def test_a_network_in_one_file(tmp_path, monkeypatch, capsys):
    """The network of the README, trained and scored by the commands beneath it."""
    _, example, commands = readme_examples()
    monkeypatch.chdir(tmp_path)
    Path("my_methods").mkdir()
    Path("my_methods/small.py").write_text(example, encoding="utf-8")
    fit, score = [line.split()[2:] for line in commands.splitlines()]
    assert run(*fit, "--epochs", 1) == 0
    assert "score it with: python benchmark.py --dataset NAME --methods small:checkpoints/small/popout/seed0" in (
        capsys.readouterr().out
    )
    assert run(*score, "--limit", 3) == 0
    printed = capsys.readouterr().out
    assert "| small+popout-seed0 " in printed
    assert "- small+popout-seed0: trained on " in printed


def readme_examples():
    """What the README shows under "Add a method": two methods, and the commands of the second."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Add a method", 1)[1].split("\n## ", 1)[0]
    bright, _, small, commands = (block.split("\n", 1)[1] for block in text.split("```")[1::2])
    return bright, small, commands


@pytest.mark.parametrize("what", ["methods", "datasets", "metrics", "protocols", "augmentations"])
def test_list(what, capsys):
    assert run("list", what) == 0
    text = capsys.readouterr().out
    assert run("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] in text for row in rows)


def test_list_shows_a_broken_method_and_goes_on(tmp_path, capsys):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')")
    assert run("list", "methods", "--methods-dir", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert "spectral_residual" in printed


def test_table_from_files(tmp_path, capsys):
    run("--out", tmp_path, "--methods", "uniform,inter_observer", "--limit", 4)
    capsys.readouterr()
    for style, mark in (("md", "|---"), ("latex", r"\begin{tabular}"), ("csv", "method,auc,auc_low,auc_high")):
        assert run("table", "--dataset", "popout_first4", "--out", tmp_path, "--format", style) == 0
        assert mark in capsys.readouterr().out


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_paper_table(name, tmp_path, capsys):
    assert run("table", "--paper", name, "--out", tmp_path) == 0
    assert "Ours (paper)" in capsys.readouterr().out


def test_submit(monkeypatch, tmp_path, capsys):
    root = tmp_path / "data"
    folder = root / "SALICON" / "images" / "test"
    folder.mkdir(parents=True)
    for i in range(3):
        picture = np.full((480, 640, 3), 90, np.uint8)
        picture[200:260, 100 * i + 100 : 100 * i + 160] = 250
        Image.fromarray(picture).save(folder / f"COCO_test2014_{i:012d}.jpg")
    from salbench.datasets import salicon

    monkeypatch.setitem(salicon.EXPECTED, "test", salicon.Published(images=3))
    arguments = "submit", "--methods", "spectral_residual", "--dataset", "salicon_test", "--data-root", root
    assert run(*arguments, "--out", tmp_path / "zips") == 0
    with zipfile.ZipFile(tmp_path / "zips" / "salicon_test_spectral_residual.zip") as archive:
        assert archive.namelist() == [f"COCO_test2014_{i:012d}.png" for i in range(3)]
    assert "3" in capsys.readouterr().out
    assert run("submit", "--methods", "center_bias", "--dataset", "salicon_test", "--data-root", root) == 2
    assert "needs fixations to fit on: salicon_train" in capsys.readouterr().err
    assert run("--dataset", "salicon_test", "--data-root", root, "--out", tmp_path / "r") == 2
    assert "write the maps with `submit`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "osie_tets"], "did you mean 'osie_test'"),
        (["--methods", "spectral_residul"], "did you mean 'spectral_residual'"),
        (["--methods", "uniform", "--protocol", "lsun18"], "expected one of tuebingen, mit, lsun17, augsal"),
        (["--dataset", "osie_test", "--data-root", "/nowhere"], "needs no download: --dataset popout"),
        (["--methods-dir", "/nowhere"], "expected a folder of method files"),
        (["table", "--dataset", "osie", "--out", "/nowhere"], "A run makes them: python benchmark.py --dataset osie"),
        (["table", "--paper", "table3"], "table1, table2"),
        (["--methods", "uniform", "--device", "warp"], "device"),
        (["weights", "--methods", "unisla"], "did you mean 'unisal'"),
        (["weights", "--methods", "uniform"], "expected some with published weights, got uniform"),
    ],
)
def test_an_error_is_one_line_that_names_the_fix(arguments, message, capsys):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert stop.value.code == 0
    assert "python benchmark.py --methods all --dataset osie_test" in capsys.readouterr().out


def test_it_runs_from_another_folder(tmp_path):
    command = [sys.executable, ROOT / "benchmark.py", "--methods", "uniform", "--limit", "2", "--out", "here"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "| uniform" in finished.stdout
    assert (tmp_path / "here" / "popout_first2" / "uniform.json").exists()


def test_a_reader_that_stops_reading_is_no_error():
    command = f"{sys.executable} {ROOT / 'benchmark.py'} list methods | head -1"
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert "error" not in finished.stderr


def test_the_wheel_ships_every_package_of_the_library():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = set(project["tool"]["setuptools"]["packages"])
    on_disk = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "salbench").rglob("__init__.py")}
    assert shipped == on_disk
    from salbench import __version__

    assert project["project"]["version"] == __version__


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_no_data_is_tracked():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in tracked if name.endswith((".jpg", ".jpeg", ".mat", ".pt", ".pth"))]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["fit", "--methods", "lite", "--p", "0.5"], "expected --augment with them"),
        (["fit", "--methods", "lite", "--mode", "replace"], "expected --augment with them"),
        (
            ["fit", "--methods", "lite", "--augment", "hflip", "--mode", "copies", "--p", "0.5"],
            "expected --mode replace",
        ),
        (["table", "--paper", "table2", "--figure", "x.png"], "expected --ablation with it"),
        (["features", "--methods", "lite,uniform"], "expected one method"),
        (["features", "--methods", "lite"], "lite has no feature maps"),
    ],
)
def test_options_that_do_not_go_together_are_told(typed, message, capsys):
    assert benchmark.main(typed) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("p", ["2", "-0.1"])
def test_a_probability_is_one(p, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["ablate", "--methods", "lite", "--p", p])
    assert "expected a probability from 0 to 1" in capsys.readouterr().err
