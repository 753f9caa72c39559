"""Outputs that are read again, what is kept, replaced and refused, and what a killed run leaves."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import salbench
from salbench import predict_pictures, registry
from salbench.attention_summary import grid_shares, region_shares, salient_points
from salbench.files import read_image, read_map
from salbench.named_regions import read_regions
from salbench.pictures import Picture, find_pictures
from salbench.predict_pictures import PicturesProblem, Wanted, density_of, map_of
from salbench.prediction import RunStopped
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = Runtime(progress=False, workers=1)
SIZES = {"a": (48, 64), "b": (30, 50), "sub/c": (64, 48)}
BRIGHT = """
output = "map"
def predict(self, sample):
    with open({log!r}, "a") as file:
        print(sample.id, file=file)
    height, width = sample.size
    return sample.image.reshape(height // 2, 2, width // 2, 6).mean((1, 3)) - 50
"""


def stopped(*_):
    raise OSError(5, "Input/output error")


@pytest.fixture
def photos(tmp_path):
    """A folder of three noisy pictures with a bright square."""
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        array = rng.integers(0, 90, (*size, 3), dtype=np.uint8)
        array[10:20, 12:30] += 150
        Image.fromarray(array).save(path)
    return tmp_path / "photos"


@pytest.fixture
def calls(tmp_path, add_method):
    """The ids that the method `bright` was asked for so far; its map is half as large and partly negative."""
    log = tmp_path / "calls"
    log.touch()
    add_method("bright", BRIGHT.format(log=str(log)))
    return lambda: log.read_text().split()


@pytest.fixture
def predict(photos, tmp_path):
    """A function of a method and options: predicts all photos to the folder `out`."""

    def run(spec="bright", wanted=None, places=(photos,), **options):
        method = registry.create(spec, RUNTIME)
        out = tmp_path / "out"
        return predict_pictures.predict_pictures(method, find_pictures(places), out, wanted, **options)

    return run


def test_outputs_lie_under_the_names_of_the_pictures(predict, calls, tmp_path):
    found = predict()
    expected = {f"{name}{end}" for name in SIZES for end in (".png", "_overlay.jpg", ".json")} | {"predictions.csv"}
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == expected
    assert (set(found.summaries), found.kept, found.failures) == (set(SIZES), 0, {})
    for name, size in SIZES.items():
        with Image.open(out / f"{name}_overlay.jpg") as overlay:
            assert overlay.size == size[::-1]


class TestMaps:
    def test_a_png_is_the_map_to_half_a_grey_level(self, predict, calls, photos, tmp_path):
        predict()
        for name, size in SIZES.items():
            levels = read_map(tmp_path / "out" / f"{name}.png")
            expected = salbench.predict(photos / f"{name}.png", "bright")
            assert (levels.shape, levels.min(), levels.max()) == (size, 0, 65535)
            assert np.abs(levels / 65535 - expected).max() <= 0.5 / 65535 + 1e-7

    def test_an_npy_is_what_python_returns(self, predict, calls, photos, tmp_path):
        predict(wanted=Wanted("npy"))
        written = np.load(tmp_path / "out" / "a.npy")
        assert written.dtype == np.float32
        assert (written == salbench.predict(photos / "a.png", "bright")).all()

    def test_a_density_sums_to_one_at_any_size(self, predict, calls, photos, tmp_path):
        predict(wanted=Wanted("npy", density=True))
        written = np.load(tmp_path / "out" / "a.npy")
        assert (written == salbench.predict(photos / "a.png", "bright", density=True)).all()
        assert written.shape == SIZES["a"]
        predict(wanted=Wanted("npy", density=True, size=(17, 90)), overwrite=True)
        written = np.load(tmp_path / "out" / "a.npy")
        assert written.shape == (17, 90)
        assert written.min() >= 0
        assert written.sum() == pytest.approx(1, abs=1e-12)

    def test_another_size_leaves_the_summary(self, predict, calls, tmp_path):
        before = predict().summaries["b"]
        after = predict(wanted=Wanted(size=(20, 10)), overwrite=True).summaries["b"]
        assert read_map(tmp_path / "out" / "b.png").shape == (20, 10)
        assert (before["map"]["size"], after["map"]["size"]) == ([30, 50], [20, 10])
        for same in ("size", "points", "grid", "radius"):
            assert before[same] == after[same]

    def test_by_the_kind_of_prediction(self):
        """Values by hand: a map loses its negative minimum, a log density is exponentiated."""
        values = np.array([[-1.0, 0.0], [1.0, 3.0]])
        np.testing.assert_allclose(map_of(values, "map", (2, 2)), [[0, 0.25], [0.5, 1]])
        np.testing.assert_allclose(density_of(values, "map", (2, 2)), [[0, 1 / 7], [2 / 7, 4 / 7]])
        np.testing.assert_allclose(density_of([[1.0, 3.0]], "density", (1, 2)), [[0.25, 0.75]])
        np.testing.assert_allclose(density_of(np.log([[1.0, 3.0]]), "log_density", (1, 2)), [[0.25, 0.75]])
        np.testing.assert_allclose(map_of(np.log([[1.0, 4.0]]), "log_density", (1, 2)), [[0.25, 1]], rtol=1e-6)
        np.testing.assert_allclose(density_of(np.zeros((2, 2)), "map", (2, 2)), np.full((2, 2), 0.25))
        assert (map_of(np.zeros((2, 2)), "map", (2, 2)) == 0).all()

    @pytest.mark.parametrize(
        ("arguments", "message"), [(("jpg",), "png, npy, got 'jpg'"), (("png", True), "format npy")]
    )
    def test_what_cannot_be_written(self, arguments, message):
        with pytest.raises(PicturesProblem, match=message):
            Wanted(*arguments)


class TestSummaries:
    def test_it_is_that_of_the_density(self, predict, calls, photos, tmp_path):
        (tmp_path / "r.json").write_text('{"square": [12, 10, 30, 20]}')
        wanted = Wanted(grid=(2, 4), regions=read_regions(tmp_path / "r.json"))
        returned = predict(wanted=wanted).summaries["a"]
        found = json.loads((tmp_path / "out" / "a.json").read_text())
        assert found == returned
        density = salbench.predict(photos / "a.png", "bright", density=True)
        np.testing.assert_allclose(found["grid"], grid_shares(density, (2, 4)), atol=1e-15)
        assert found["points"] == [point._asdict() for point in salient_points(density)]
        square = region_shares(density, {"s": (12, 10, 30, 20)})["s"]
        assert found["regions"] == {"square": square._asdict()}
        assert square.share > 3 * square.area
        assert (found["size"], found["map"]) == ([48, 64], {"file": "a.png", "size": [48, 64]})
        assert found["density"].startswith("the method's map, divided by its sum")
        assert found["identity"]["method"] == "bright"

    def test_a_density_is_said_to_be_the_method_s(self, predict, add_method):
        add_method("flat", 'output = "log_density"\ndef predict(self, sample):\n    return np.zeros((3, 4))')
        found = predict("flat").summaries["a"]
        assert found["density"] == "predicted by the method"
        assert found["points"] == []
        np.testing.assert_allclose(found["grid"], np.full((3, 3), 1 / 9))

    def test_the_table_has_a_row_per_picture(self, predict, calls, photos, tmp_path):
        (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:2000])
        (tmp_path / "r.json").write_text('{"b": {"left": [0, 0, 25, 30]}}')
        found = predict(wanted=Wanted(regions=read_regions(tmp_path / "r.json")))
        with open(tmp_path / "out" / "predictions.csv", newline="") as file:
            rows = {row["picture"]: row for row in csv.DictReader(file)}
        assert list(rows) == ["a", "b", "cut", "sub/c"]
        assert float(rows["sub/c"]["grid 2 1"]) == found.summaries["sub/c"]["grid"][1][0]
        assert float(rows["b"]["region left"]) == found.summaries["b"]["regions"]["left"]["share"]
        assert int(rows["a"]["x"]) == found.summaries["a"]["points"][0]["x"]
        assert rows["a"]["region left"] == rows["a"]["error"] == ""
        assert "cut.png: not a readable picture" in rows["cut"]["error"]

    def test_a_mirrored_picture_has_mirrored_shares(self, predict, calls, photos):
        Image.fromarray(read_image(photos / "a.png")[:, ::-1]).save(photos / "m.png")
        found = predict().summaries
        np.testing.assert_allclose(found["m"]["grid"], np.array(found["a"]["grid"])[:, ::-1], rtol=1e-5)


class TestBadInput:
    def test_others_go_on(self, predict, calls, photos):
        (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:2000])
        (photos / "text.jpg").write_text("no picture")
        found = predict(places=[photos, photos / "gone.jpg"])
        assert set(found.summaries) == set(SIZES)
        assert set(found.failures) == {"cut", "text", "gone"}
        assert found.failures["gone"].endswith("gone.jpg: no such file")
        assert "cut" in calls()

    def test_a_region_off_one_picture(self, predict, calls, tmp_path):
        (tmp_path / "r.json").write_text('{"low": [0, 30, 40, 40]}')
        found = predict(wanted=Wanted(regions=read_regions(tmp_path / "r.json")))
        assert set(found.summaries) == {"a", "sub/c"}
        assert found.failures["b"].startswith("region 'low': expected a box")
        assert "b" not in calls()  # known before it is predicted

    def test_masks_of_one_picture(self, predict, calls, tmp_path):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, :32] = 255
        Image.fromarray(mask).save(tmp_path / "m.png")
        (tmp_path / "r.json").write_text('{"a.png": {"left": "m.png"}, "sub/c": {"left": "m.png"}}')
        found = predict(wanted=Wanted(regions=read_regions(tmp_path / "r.json")))
        left = found.summaries["a"]["regions"]["left"]
        assert left["area"] == 0.5
        assert found.summaries["b"]["regions"] == {}
        assert list(found.failures) == ["sub/c"]
        assert "'left': expected a mask with the picture's size, 64 x 48 (height, width)" in found.failures["sub/c"]

    def test_regions_of_pictures_that_were_not_given(self, predict, calls, tmp_path, warned):
        (tmp_path / "r.json").write_text('{"A": {"x": [0, 0, 1, 1]}}')
        with pytest.raises(PicturesProblem, match=r"r\.json: expected names of pictures such as 'sub/c\.png', got 'A'"):
            predict(wanted=Wanted(regions=read_regions(tmp_path / "r.json")))
        (tmp_path / "r.json").write_text('{"A": {"x": [0, 0, 1, 1]}, "a": {"x": [0, 0, 1, 1]}}')
        predict(wanted=Wanted(regions=read_regions(tmp_path / "r.json")))
        assert any("names 1 pictures that were not given, such as 'A'" in line for line in warned)

    @pytest.mark.parametrize("spec", ["center_bias", "inter_observer"])
    def test_a_method_that_needs_fixations(self, predict, spec):
        with pytest.raises(MethodUnavailable, match=f"{spec}: needs fixations"):
            predict(spec)

    def test_an_out_that_cannot_be_written(self, predict, calls, tmp_path, monkeypatch):
        (tmp_path / "out").write_text("a file")
        with pytest.raises(PicturesProblem, match="expected a folder for the predictions, found a file"):
            predict()
        (tmp_path / "out").unlink()
        monkeypatch.setattr(predict_pictures, "_save_map", stopped)
        with pytest.raises(RunStopped, match="cannot write predictions"):
            predict()


class TestResume:
    def test_finished_pictures_are_kept(self, predict, calls, photos, tmp_path):
        first = predict()
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[jp]*")}
        Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(photos / "new.png")
        again = predict()
        assert calls() == ["b", "a", "sub/c", "new"]
        assert again.kept == 3
        assert {name: again.summaries[name]["grid"] for name in SIZES} == {n: first.summaries[n]["grid"] for n in SIZES}
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())

    def test_a_picture_that_failed_is_tried_again(self, predict, calls, photos):
        whole = (photos / "a.png").read_bytes()
        (photos / "a.png").write_bytes(whole[:2000])
        assert set(predict().failures) == {"a"}
        (photos / "a.png").write_bytes(whole)
        assert predict().failures == {}
        assert calls().count("b") == 1

    @pytest.mark.parametrize("lost", ["a.png", "a_overlay.jpg", "a.json"])
    def test_a_picture_without_all_its_outputs_is_not_finished(self, predict, calls, tmp_path, lost):
        predict()
        (tmp_path / "out" / lost).unlink()
        predict(overwrite=lost == "a.json")  # without its record, a map could be anybody's
        assert (tmp_path / "out" / lost).exists()
        assert calls() == ["b", "a", "sub/c", "a"]

    def test_other_settings_are_refused_or_replaced(self, predict, calls, photos, tmp_path):
        predict()
        out = tmp_path / "out"
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for options, message in (
            ({"wanted": Wanted("npy")}, "format npy instead of png"),
            ({"wanted": Wanted(grid=(2, 2))}, "grid"),
            ({"spec": "spectral_residual"}, "method spectral_residual instead of bright"),
        ):
            with pytest.raises(PicturesProblem, match=message) as error:
                predict(**options)
            assert str(error.value).endswith("Choose another --out, or replace it with --overwrite")
        Image.fromarray(np.full((20, 30, 3), 9, np.uint8)).save(photos / "a.png")
        with pytest.raises(PicturesProblem, match="the inputs differ"):
            predict()
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        predict(wanted=Wanted("npy"), overwrite=True)
        assert not (out / "a.png").exists()
        assert np.load(out / "a.npy").shape == (20, 30)
        assert predict(wanted=Wanted("npy"), overwrite=True).kept == 3

    def test_files_of_others_are_refused_or_replaced(self, predict, calls, photos, tmp_path):
        (tmp_path / "out" / "sub").mkdir(parents=True)
        for name in ("a.json", "sub/c_overlay.jpg", "predictions.csv"):
            path = tmp_path / "out" / name
            path.write_text("{}")
            with pytest.raises(PicturesProblem, match=f"{path.name}: not a"):
                predict()
            assert path.read_text() == "{}"
            assert calls() == []
            path.unlink()
        (tmp_path / "out" / "a.png").write_text("mine")
        assert predict(overwrite=True).failures == {}
        assert read_map(tmp_path / "out" / "a.png").shape == SIZES["a"]

    def test_a_picture_is_never_replaced(self, calls, photos):
        before = (photos / "a.png").read_bytes()
        method = registry.create("bright", RUNTIME)
        with pytest.raises(PicturesProblem, match="an output would replace this picture"):
            predict_pictures.predict_pictures(method, [Picture("a", photos / "a.png")], photos, overwrite=True)
        assert (photos / "a.png").read_bytes() == before

    def test_stopped_while_old_outputs_are_replaced(self, predict, calls, tmp_path, monkeypatch):
        """An old map never stands beside a new summary as if it were finished."""
        predict(places=[tmp_path / "photos" / "a.png"])
        wanted, places = Wanted(size=(5, 6)), [tmp_path / "photos" / "a.png"]
        with monkeypatch.context() as patch:
            patch.setattr(predict_pictures, "_save_map", stopped)
            with pytest.raises(RunStopped):
                predict(wanted=wanted, places=places, overwrite=True)
        assert predict(wanted=wanted, places=places).kept == 0
        assert read_map(tmp_path / "out" / "a.png").shape == (5, 6)

    def test_a_killed_run_loses_nothing(self, predict, photos, tmp_path, add_method):
        """Killed at its third picture, the first two are finished, and a rerun predicts only the third."""
        flag = tmp_path / "alive"
        body = f"""
def predict(self, sample):
    import os
    if sample.id == "sub/c" and not os.path.exists({str(flag)!r}):
        os.kill(os.getpid(), 9)
    return sample.image.mean(2)
"""
        folder = add_method("mortal", body)
        command = [sys.executable, "-m", "salbench", "predict", photos, "--method", "mortal", "--workers", "1"]
        command += ["--methods-dir", folder, "--out", tmp_path / "out"]
        run = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == -9, run.stderr
        assert json.loads((tmp_path / "out" / "a.json").read_text())["size"] == [48, 64]
        flag.touch()
        found = predict("mortal")
        assert (found.kept, set(found.summaries)) == (2, set(SIZES))
        shutil.rmtree(tmp_path / "out")
        fresh = predict("mortal")
        assert {n: s["grid"] for n, s in found.summaries.items()} == {n: s["grid"] for n, s in fresh.summaries.items()}
