"""pysaliency's models as methods, and its data sets to and fro: both packages give the same scores."""

import sys
from dataclasses import replace

import numpy as np
import pysaliency
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pysaliency.saliency_map_models import DensitySaliencyMapModel
from scipy.special import logsumexp

import salbench
from salbench import registry
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS, Others
from salbench.registry import MethodProblem, MethodUnavailable
from salbench.runtime import Runtime

PROTOCOL = PROTOCOLS["tuebingen"]
MODELS = '''
import numpy as np
import pysaliency


class Bright(pysaliency.Model):
    """A density that is proportional to brightness."""

    def _log_density(self, stimulus):
        density = 1.0 + stimulus.mean(axis=2)
        return np.log(density / density.sum())


class Red(pysaliency.SaliencyMapModel):
    def _saliency_map(self, stimulus):
        return stimulus[..., 0].astype(float)


def made():
    return Bright()


class Holder:
    model = Red()


instance = Bright()
number = 3
'''


class Densities(pysaliency.Model):
    """Gives the images of a data set, by their content, the densities of a function of a sample."""

    def __init__(self, samples, density_of):
        super().__init__(caching=False)
        self._by_image = {sample.image.tobytes(): density_of(sample) for sample in samples}

    def _log_density(self, stimulus):
        return np.log(self._by_image[stimulus.tobytes()])


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The module `own_models` on Python's path."""
    (tmp_path / "own_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "own_models.py"
    sys.modules.pop("own_models", None)


@pytest.fixture(params=["one size", "several sizes"])
def dataset(request, tiny, mixed):
    """Positions are fractions of pixels; between sizes, pysaliency rescales whole pixels only."""
    if request.param == "one size":
        return tiny
    return replace(mixed, samples=tuple(replace(s, fixations=np.floor(s.fixations)) for s in mixed.samples))


@pytest.fixture
def ours(models, tmp_path):
    """A function of a data set: means of salbench's scores for the model Bright."""

    def run(dataset):
        evaluation = Evaluation(dataset, PROTOCOL, tmp_path / "out", Runtime(progress=False))
        result = evaluation.run("pysaliency:bright=own_models:Bright")
        assert result.n_failed == 0
        return {name: result.metrics[name]["mean"] for name in ("auc", "sauc", "nss", "ig")}

    return run


def scores_of_pysaliency(model, baseline, stimuli, fixations):
    maps = DensitySaliencyMapModel(model)
    return {
        "auc": maps.AUC(stimuli, fixations, nonfixations="uniform", average="image"),
        "sauc": maps.AUC(stimuli, fixations, nonfixations="shuffled", average="image"),
        "nss": maps.NSS(stimuli, fixations, average="image"),
        "ig": model.information_gain(stimuli, fixations, baseline_model=baseline, average="image"),
    }


class TestScores:
    def test_salbench_s_data_set_scored_by_pysaliency(self, dataset, ours):
        stimuli, fixations = salbench.to_pysaliency(dataset)
        others = Others(dataset.samples, PROTOCOL)
        baseline = Densities(dataset.samples, lambda sample: _normalised(PROTOCOL.truth(sample, others).baseline.array))
        scores = ours(dataset)  # imports the model
        theirs = scores_of_pysaliency(sys.modules["own_models"].Bright(), baseline, stimuli, fixations)
        for name, value in scores.items():
            assert value == pytest.approx(theirs[name], abs=1e-6), name

    def test_pysaliency_s_data_set_scored_by_salbench(self, dataset, ours):
        images = [sample.image for sample in dataset.samples]
        n = np.repeat(np.arange(len(images)), [len(s.fixations) for s in dataset.samples])
        x, y = np.concatenate([s.fixations for s in dataset.samples]).T
        stimuli = pysaliency.Stimuli(images)
        fixations = pysaliency.Fixations.create_without_history(x, y, n)
        scored = salbench.from_pysaliency(stimuli, fixations, name="theirs")
        others = Others(scored.samples, PROTOCOL)
        baseline = Densities(scored.samples, lambda sample: _normalised(PROTOCOL.truth(sample, others).baseline.array))
        scores = ours(scored)
        theirs = scores_of_pysaliency(sys.modules["own_models"].Bright(), baseline, stimuli, fixations)
        for name, value in scores.items():
            assert value == pytest.approx(theirs[name], abs=1e-6), name


def _normalised(density):
    return density / density.sum()


class TestConverters:
    def test_there_and_back(self, mixed):
        back = salbench.from_pysaliency(*salbench.to_pysaliency(mixed), name="back")
        assert (back.name, [s.id for s in back.samples]) == ("back", [s.id for s in mixed.samples])
        for one, other in zip(mixed.samples, back.samples, strict=True):
            assert one.size == other.size
            assert_array_equal(one.fixations, other.fixations)
            assert_array_equal(one.observers, other.observers)
            assert_array_equal(one.image, other.image)

    def test_images_are_read_on_use(self, tiny):
        read = []
        samples = [replace(s, read_image=lambda s=s: read.append(s.id) or s.image) for s in tiny.samples]
        stimuli, _ = salbench.to_pysaliency(replace(tiny, samples=samples))
        assert (list(stimuli.sizes), read) == ([s.size for s in tiny.samples], [])
        assert stimuli.stimulus_ids[2] == pysaliency.datasets.get_image_hash(tiny.samples[2].image)
        assert read == ["image_2"]

    def test_without_observers_or_fixations(self, tiny):
        samples = [replace(tiny.samples[0], observers=None), tiny.samples[1].blind()]
        _, fixations = salbench.to_pysaliency(replace(tiny, samples=samples))
        assert set(fixations.subjects) == {0}
        assert set(fixations.n) == {0}

    def test_ids_are_the_stems_of_files(self, tmp_path):
        from PIL import Image

        paths = [tmp_path / name for name in ("b.png", "a.png")]
        for path in paths:
            Image.fromarray(np.full((4, 6), 7, np.uint8)).save(path)  # grey, as pysaliency reads it
        stimuli = pysaliency.FileStimuli([str(path) for path in paths])
        fixations = pysaliency.Fixations.create_without_history([1.5], [2.5], [1])
        samples = salbench.from_pysaliency(stimuli, fixations).samples
        assert [s.id for s in samples] == ["b", "a"]
        assert_array_equal(samples[1].fixations, [[1.5, 2.5]])
        assert_array_equal(samples[0].image, np.full((4, 6, 3), 7))
        assert len(samples[0].fixations) == 0

    def test_fixations_off_the_image(self):
        stimuli = pysaliency.Stimuli([np.zeros((4, 6, 3), np.uint8)])
        fixations = pysaliency.Fixations.create_without_history([6.0], [2.0], [0])
        with pytest.raises(ValueError, match="0: fixations: expected 0 <= x < 6"):
            salbench.from_pysaliency(stimuli, fixations)


class TestMethod:
    @pytest.mark.parametrize("object", ["Bright", "made", "instance"])
    def test_a_model_gives_log_densities(self, models, object, mixed):
        method = registry.create(f"pysaliency:own_models:{object}")
        assert (method.output, method.label) == ("log_density", f"pysaliency+{object}")
        for sample in mixed.samples:
            prediction = method.predict(sample.blind())
            brightness = 1 + sample.image.mean(axis=2)
            assert_allclose(prediction, np.log(brightness / brightness.sum()), rtol=1e-12)
            assert abs(logsumexp(prediction)) < 1e-9

    def test_a_saliency_map_model_gives_maps(self, models, tiny):
        method = registry.create("pysaliency:red=own_models:Holder.model")
        assert (method.output, method.label) == ("map", "pysaliency+red")
        assert_array_equal(method.predict(tiny.samples[0].blind()), tiny.samples[0].image[..., 0])

    def test_a_model_of_pysaliency_itself(self, tiny):
        method = registry.create("pysaliency:pysaliency.models:GaussianModel")
        assert method.predict(tiny.samples[0].blind()).shape == (24, 32)

    def test_the_hash_is_that_of_the_source(self, models):
        before = [registry.create(f"pysaliency:own_models:{o}").weights_hash() for o in ("Bright", "Red")]
        assert len({*before}) == 2
        models.write_text(MODELS.replace("1.0 +", "2.0 +"))
        sys.modules.pop("own_models")
        after = registry.create("pysaliency:own_models:Bright").weights_hash()
        assert after != before[0]

    @pytest.mark.parametrize(
        ("argument", "message"),
        [
            ("no_such_module:Bright", "no module no_such_module; .*PYTHONPATH=DIR"),
            ("own_models.inner:Bright", "no module own_models.inner"),
            ("own_models:Brihgt", "expected an object 'Brihgt' in own_models"),
            ("own_models", "expected an object '' in own_models"),
            (":Bright", "expected package.module:object"),
            ("own_models:number", "expected a pysaliency Model or SaliencyMapModel, .* got int"),
        ],
    )
    def test_what_is_no_model(self, models, argument, message):
        with pytest.raises(MethodProblem, match=message):
            registry.create(f"pysaliency:{argument}")

    def test_no_model(self):
        with pytest.raises(MethodUnavailable, match="needs a model: --methods pysaliency:package"):
            registry.create("pysaliency")

    def test_a_package_that_the_model_needs(self, models, tiny, tmp_path):
        models.write_text("import no_such_package\n")
        skipped = Evaluation(tiny, PROTOCOL, tmp_path, Runtime(progress=False)).run("pysaliency:own_models:x")
        assert skipped.reason == "needs no_such_package: python -m pip install no_such_package"
