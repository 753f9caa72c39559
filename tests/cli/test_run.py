"""`salbench run`."""

import csv
import json
import shlex

import numpy as np
import pytest

from salbench import registry
from salbench.metrics import METRICS

BRIGHT = '''
from salbench.registry import SaliencyMethod, register

@register
class Bright(SaliencyMethod):
    """Bright pixels are salient."""

    def predict(self, sample):
        return sample.image.mean(axis=2)
'''


@pytest.mark.slow
def test_the_default_is_every_method_on_the_embedded_set(salbench, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SALBENCH_BACKBONE", "nowhere")  # the diffusion model takes as long as all others together
    assert salbench("--out", tmp_path, "--limit", 1) == 0
    printed = capsys.readouterr().out
    for name in registry.members("all"):
        assert f"| {name} " in printed or f"skipped {name}: " in printed
    for name in ("uniform", "center_bias", "spectral_residual", "inter_observer (ceiling)", "lite"):
        assert f"| {name} " in printed
    assert "SIMULATED gaze" in printed
    assert "from_folder" not in printed  # it needs an argument
    assert printed.endswith(f"results: {tmp_path}/popout_first1\n")


def test_without_a_limit_every_image_is_scored(salbench, tmp_path, capsys):
    assert salbench("--out", tmp_path, "--methods", "spectral_residual", "--workers", 2) == 0
    assert capsys.readouterr().out.endswith(f"results: {tmp_path}/popout\n")
    result = json.loads((tmp_path / "popout" / "spectral_residual.json").read_text())
    assert result["metrics"]["auc"]["mean"] > 0.65
    assert result["n_images"] == 30
    with open(tmp_path / "popout" / "spectral_residual.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", *METRICS]
    assert np.mean([float(r["auc"]) for r in rows]) == pytest.approx(result["metrics"]["auc"]["mean"], abs=1e-12)


def test_a_second_run_keeps_what_is_complete(salbench, tmp_path):
    run = "--out", tmp_path, "--methods", "uniform", "--limit", 3
    assert salbench(*run) == 0
    before = (tmp_path / "popout_first3" / "uniform.json").read_bytes()
    assert salbench(*run) == 0
    assert (tmp_path / "popout_first3" / "uniform.json").read_bytes() == before


def test_other_settings_are_refused_and_overwrite_replaces(salbench, tmp_path, capsys):
    common = "--out", tmp_path, "--limit", 3
    assert salbench(*common, "--methods", "uniform") == 0
    assert salbench(*common, "--methods", "uniform,center_bias", "--protocol", "mit") == 1
    printed = capsys.readouterr()
    assert "refused uniform: " in printed.err
    assert "protocol mit instead of tuebingen" in printed.err
    assert "| center_bias" in printed.out  # the others go on
    assert salbench(*common, "--methods", "uniform", "--protocol", "mit", "--overwrite") == 0
    result = json.loads((tmp_path / "popout_first3" / "uniform.json").read_text())
    assert result["identity"]["protocol"] == "mit"


def test_the_seed_is_that_of_the_intervals(salbench, tmp_path):
    intervals = []
    for seed in (0, 1):
        run = "--methods", "spectral_residual", "--limit", 5, "--seed", seed, "--out", tmp_path / str(seed)
        assert salbench(*run) == 0
        result = json.loads((tmp_path / str(seed) / "popout_first5" / "spectral_residual.json").read_text())
        intervals.append(result["metrics"])
    assert intervals[0]["nss"]["mean"] == intervals[1]["nss"]["mean"]
    assert intervals[0] != intervals[1]


def test_a_folder_of_maps_on_a_folder_of_images(salbench, images, tmp_path, capsys):
    maps, dataset = tmp_path / "maps", f"folder:{images}"
    run = "--methods", "center_bias", "--dataset", dataset, "--out", tmp_path / "r", "--save-maps", maps
    assert salbench(*run) == 0
    saved = maps / "folder+mine" / "center_bias"
    assert sorted(p.name for p in saved.iterdir()) == ["a.png", "b.png", "c.png"]
    assert salbench("--methods", f"from_folder:{saved}", "--dataset", dataset, "--out", tmp_path / "r") == 0
    assert "from_folder+center_bias" in capsys.readouterr().out
    (saved / "b.png").unlink()
    (saved / "c.png").write_bytes(b"")
    out = tmp_path / "r2"
    assert salbench("--methods", f"from_folder:{saved}", "--dataset", dataset, "--out", out) == 1
    captured = capsys.readouterr()
    assert "(incomplete, 2 of 3 failed)" in captured.out
    assert "failed from_folder+center_bias: b: " in captured.err
    assert "expected one map named b, found none" in captured.err
    result = json.loads((out / "folder+mine" / "from_folder+center_bias.json").read_text())
    assert set(result["failures"]) == {"b", "c"}
    assert result["metrics"]["auc"] is None


def test_a_folder_of_densities(salbench, images, tmp_path, capsys):
    (images / "fixations.csv").unlink()
    run = "--methods", "uniform,center_bias", "--dataset", f"folder:{images}", "--out", tmp_path / "r"
    assert salbench(*run) == 2
    assert "needs fixations.csv, fixations/ or maps/, or a dataset.toml" in capsys.readouterr().err
    (images / "maps").mkdir()
    for seed, name in enumerate("abc"):
        np.save(images / "maps" / f"{name}.npy", np.random.default_rng(seed).random((48, 64)))
    assert salbench(*run) == 0
    printed = capsys.readouterr().out
    assert "| method | cc ↑" in " ".join(printed.split())
    assert "- This data set has densities but no fixations, which these need: auc, auc_judd, auc_borji, " in printed
    assert "skipped center_bias: needs fixations to fit on" in printed


def test_fixations_off_the_image_and_lost_samples(salbench, images, tmp_path, capsys):
    with open(images / "fixations.csv", "a") as file:
        file.write("a,64,1,0\nb,-0.5,3,1\nc,nan,nan,1\n")
    run = "--methods", "uniform", "--dataset", f"folder:{images}", "--out", tmp_path / "r"
    assert salbench(*run) == 2
    assert "--off-image drop" in capsys.readouterr().err
    assert salbench(*run, "--off-image", "drop") == 0
    note = "- Of 39 recorded fixations, 2 off the image and 1 lost samples were left out."
    assert note in capsys.readouterr().out.splitlines()
    result = json.loads((tmp_path / "r" / "folder+mine" / "uniform.json").read_text())
    assert result["left_out"] == {"off_image": 2, "lost": 1}
    assert salbench("table", "--dataset", "folder+mine", "--out", tmp_path / "r") == 0
    assert note in capsys.readouterr().out.splitlines()
    assert salbench(*run) == 2  # the choice is that of one command


def test_a_split_of_a_folder_with_ids_in_folders(salbench, images, tmp_path, capsys):
    (images / "images" / "night").mkdir()
    for name in "bc":
        (images / "images" / f"{name}.png").rename(images / "images" / "night" / f"{name}.png")
    (images / "dataset.toml").write_text('images = "images/**/{id}.png"\n[splits]\nnight = "night/*"\n')
    words = "--dataset", f"folder:{images}#night", "--out", tmp_path / "r", "--save-maps", tmp_path / "maps"
    assert salbench("--methods", "uniform", *words) == 0
    assert "folder+mine_night, 2 images" in capsys.readouterr().out
    saved = sorted(path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png"))
    assert saved == [f"folder+mine_night/uniform/night/{name}.png" for name in "bc"]


def test_three_failures_are_printed_and_the_others_counted(salbench, add_method, tmp_path, capsys):
    folder = add_method("fails", "def predict(self, sample):\n    raise RuntimeError('no')")
    assert salbench("--methods", "fails", "--methods-dir", folder, "--limit", 5, "--out", tmp_path / "r") == 1
    error = capsys.readouterr().err
    assert error.count("RuntimeError: no") == 3
    assert f"failed fails: 2 more, see {tmp_path}/r/popout_first5/fails.json" in error


def test_a_method_in_one_file(salbench, images, tmp_path, capsys):
    folder = tmp_path / "my_methods"
    folder.mkdir()
    (folder / "bright.py").write_text(BRIGHT)
    run = "--methods-dir", folder, "--methods", "bright", "--dataset", f"folder:{images}", "--out", tmp_path / "r"
    assert salbench(*run) == 0
    assert "| bright " in capsys.readouterr().out


def test_random_weights_are_in_no_table(salbench, network, tmp_path, capsys):
    run = "--methods-dir", network, "--methods", "small", "--init", "random", "--limit", 2, "--out", tmp_path / "r"
    assert salbench(*run) == 0
    printed = capsys.readouterr().out
    assert "not in the table, because its weights are random: small+random-init" in printed
    assert "| small" not in printed


def test_the_suggested_training_finds_the_method(salbench, network, tmp_path, capsys):
    assert salbench("--methods-dir", network, "--methods", "small", "--limit", 2, "--out", tmp_path / "r") == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped small: ")]
    words = shlex.split(line.partition(": salbench ")[2])
    assert words == ["fit", "--methods", "small", "--dataset", "osie_train", "--methods-dir", str(network)]


def test_nothing_that_runs_is_a_failure(salbench, tmp_path, capsys):
    assert salbench("--methods", "from_folder", "--limit", 3, "--out", tmp_path) == 1
    assert "skipped from_folder: needs a folder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "osie_tets"], "Did you mean 'osie_test'"),
        (["--methods", "spectral_residul"], "Did you mean 'spectral_residual'"),
        (["--methods", ","], "--methods: expected names separated by commas, classical, table1 or all, got nothing"),
        (["--methods", "uniform", "--protocol", "lsun18"], "expected one of tuebingen, mit, lsun17, augsal"),
        (["--dataset", "osie_test", "--data-root", "/nowhere"], "--dataset popout"),
        (["--methods-dir", "/nowhere"], "expected a folder of method files"),
        (["--methods", "uniform", "--device", "warp"], "device"),
    ],
)
def test_an_error_is_one_line_that_names_the_fix(words, message, salbench, capsys):
    assert salbench(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
