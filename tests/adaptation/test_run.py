"""What is fitted to and what is scored, files, resuming; scores against the metrics' own functions."""

import errno
import json
import shutil

import numpy as np
import pytest

from salbench import results, writing
from salbench.adaptation import run
from salbench.adaptation.model import grid, log_density
from salbench.adaptation.predictions import AdaptationProblem, scaled
from salbench.adaptation.run import Wanted, adapt
from salbench.evaluation import Evaluation
from salbench.locks import Busy, only_one
from salbench.maps import resize, to_density
from salbench.metrics import METRICS, nss
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime

RUNTIME = Runtime(workers=1, progress=False)
WANTED, ONE = Wanted(("3", "all"), draws=2, scales=(1.0,)), Wanted(("3",), draws=1, scales=(1.0,))
TUEBINGEN = PROTOCOLS["tuebingen"]
BRIGHT = 'output = "density"\ndef predict(self, sample):\n    return sample.image.mean(2) + 1'


@pytest.fixture
def bright(add_method):
    add_method("bright", BRIGHT)
    return "bright"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def adapted(bright, tiny, kept):
    """The adaptation of the method, which is made once, kept in a folder and then read."""
    return adapt(bright, tiny, TUEBINGEN, kept, RUNTIME, WANTED)


@pytest.fixture
def train(make_samples, make_dataset):
    """A training split of four images with other ids."""
    from dataclasses import replace

    return make_dataset([replace(s, id=f"train_{s.id}") for s in make_samples([(24, 32)] * 4, seed=5)], "tiny_train")


def test_no_image_is_scored_with_numbers_that_were_fitted_to_it(adapted, tiny):
    rows = adapted.scores.groupby(["images", "draw"])["id"].agg(set)
    assert rows.pop(("0", 0)) == {s.id for s in tiny.samples}
    assert len(rows) == len(adapted.fits) == 2 + 5
    for fit in adapted.fits:
        scored = rows[fit.draw.images, fit.draw.number]
        assert scored == set(fit.draw.scored)
        assert not scored & set(fit.draw.fitted)


def test_a_training_split_is_fitted_to_and_every_image_scored(bright, tiny, train, tmp_path):
    found = adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED, train=lambda: train)
    assert {id for fit in found.fits for id in fit.draw.fitted} <= {s.id for s in train.samples}
    assert (found.scores.groupby(["images", "draw"])["id"].nunique() == len(tiny.samples)).all()
    assert found.facts["train"] == "tiny_train"


def test_one_at_a_time(bright, tiny, tmp_path):
    busy = pytest.raises(Busy, match="another process is adapting this method; wait for it")
    with only_one(tmp_path / "tiny_adapt" / "bright", "is adapting this method"), busy:
        adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED)


def test_trouble_of_the_disk_is_no_fault_of_an_image(bright, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "fsync", fail)
        with pytest.raises(OSError, match=r"cannot keep predictions \(Read-only file system\): '.*\.npy'"):
            adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, ONE)
    adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, ONE)


def test_as_it_is_a_method_has_the_scores_of_a_run(bright, mixed, tmp_path):
    found = adapt(bright, mixed, TUEBINGEN, tmp_path, RUNTIME, ONE).scores
    unadapted = found[found["images"] == "0"].set_index("id")
    Evaluation(mixed, TUEBINGEN, tmp_path, RUNTIME).run(bright)
    expected = results.read_scores(tmp_path, "mixed", bright)
    np.testing.assert_allclose(unadapted.loc[expected.index, list(METRICS)], expected, rtol=1e-12)


def test_an_adapted_score_is_that_of_the_adapted_density(adapted, tiny):
    fit, sample = adapted.fits[0], next(s for s in tiny.samples if s.id in adapted.fits[0].draw.scored)
    shape = grid(sample.size, sample.sigma)
    density = to_density(resize(sample.image.mean(2) + 1, shape)).astype(np.float32)
    sigma = tuple(np.array(shape) / sample.size * sample.sigma)
    expected = resize(np.exp(log_density(density, sigma, fit.parameters)), sample.size)
    rows = adapted.scores.set_index(["images", "draw", "id"])
    assert rows.loc[("3", 0, sample.id), "nss"] == pytest.approx(nss(expected, sample.fixations), abs=1e-5)


def test_a_map_is_read_as_a_density_also_as_it_is(add_method, tiny, tmp_path):
    add_method("a_map", BRIGHT.replace('"density"', '"map"'))
    found = adapt("a_map", tiny, TUEBINGEN, tmp_path, RUNTIME, ONE)
    assert found.scores["ig"].notna().all()
    assert found.facts["output"] == "map"


def test_files(bright, tiny, tmp_path):
    found = adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, ONE)
    place = tmp_path / "tiny_adapt" / bright
    assert sorted(p.name for p in place.iterdir()) == ["fits.json", "scores.csv"]
    content = json.loads((place / "fits.json").read_text())
    assert set(content["fits"][0]["parameters"]) == {"scale", "blur", "exponent", "prior"}
    assert content["identity"]["seed"] == 0
    assert "numpy" in content["facts"]["provenance"]["versions"]
    again = run.read(place)
    assert (again.identity, again.fits) == (found.identity, found.fits)
    with pytest.raises(AdaptationProblem, match="expected an adaptation; make it with: salbench adapt"):
        run.read(tmp_path)


def test_what_is_complete_is_read_and_other_settings_are_refused(adapted, bright, tiny, kept, tmp_path, monkeypatch):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(run, "_Work", None)
        assert adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED).fits == adapted.fits
        with pytest.raises(AdaptationProblem, match="draws 1 instead of 2"):
            adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, ONE)
    assert len(adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, ONE, overwrite=True).fits) == 1


def test_a_stopped_adaptation_is_resumed(adapted, bright, tiny, tmp_path, monkeypatch):
    measured, calls = run.measure, []

    def stop(*args):
        calls.append(args)
        if len(calls) == 12:
            raise MemoryError
        return measured(*args)

    with monkeypatch.context() as patch:
        patch.setattr(run, "measure", stop)
        with pytest.raises(MemoryError):
            adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED)
    partial = tmp_path / "tiny_adapt" / bright / "partial"
    made = {p: p.stat().st_mtime_ns for p in partial.rglob("*.npy")}
    assert len(made) == len(tiny.samples)
    assert len((partial / "scores.jsonl").read_text().splitlines()) > 1
    with monkeypatch.context() as patch:
        patch.setattr(run.shutil, "rmtree", lambda _: None)
        resumed = adapt(bright, tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED)
    assert {p: p.stat().st_mtime_ns for p in partial.rglob("*.npy")} == made
    assert resumed.scores.equals(adapted.scores)


def test_failed_images_are_named(add_method, tiny, tmp_path):
    add_method("fails", 'def predict(self, sample):\n    raise RuntimeError("no")')
    with pytest.raises(AdaptationProblem, match=r"fails: 6 images failed, such as image_\d: RuntimeError: no"):
        adapt("fails", tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED)


def test_a_ceiling_is_no_method_to_adapt(tiny, tmp_path):
    with pytest.raises(AdaptationProblem, match="inter_observer: expected a method to adapt, got a ceiling"):
        adapt("inter_observer", tiny, TUEBINGEN, tmp_path, RUNTIME, WANTED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ("0",)}, "--images: expected whole numbers above 0, or all, got 0"),
        ({"images": ("some", "3")}, "got some"),
        ({"images": ()}, "got nothing"),
        ({"scales": (0.5,)}, "--scales: expected numbers above 0 with 1 among them, got 0.5"),
        ({"scales": (1.0, -1.0)}, "got 1, -1"),
    ],
)
def test_what_cannot_be_wanted(changes, message):
    with pytest.raises(ValueError, match=message):
        Wanted(**changes)


def test_a_scaled_image_is_blind_and_resized(tiny):
    sample = tiny.samples[0]
    half = scaled(sample, 0.5)
    assert (half.size, half.image.shape, half.fixations) == ((12, 16), (12, 16, 3), None)
    assert half.image.mean() == pytest.approx(sample.image.mean(), abs=1)
    assert scaled(sample, 1.0).size == sample.size
