"""The ceiling against simulated observers, whose true density is known."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from salbench import registry
from salbench.datasets import load
from salbench.datasets.popout import true_density
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training_plan import Plan

QUIET = Runtime(workers=2, progress=False)
SIZE = (60, 80)
SIGMA = 4.0


class Known(SaliencyMethod):
    """The true densities, {id: (H, W)}."""

    output = "density"
    name = "known"

    def __init__(self, densities):
        self.densities = densities

    def predict(self, sample):
        return self.densities[sample.id].copy()

    def code_hash(self):
        return ""


def _mixture(rng, objects):
    """A density like that of a photograph: some objects, a bias to the centre, and a few fixations anywhere."""
    y, x = np.indices(SIZE) + 0.5
    places = zip(rng.uniform(8, 72, objects), rng.uniform(8, 52, objects), rng.uniform(2.5, 6, objects), strict=True)
    gaussians = [np.exp(-((x - left) ** 2 + (y - top) ** 2) / (2 * spread**2)) for left, top, spread in places]
    center = np.exp(-(((x - 40) / 16) ** 2 + ((y - 30) / 12) ** 2) / 2)
    parts = [(0.7 / max(objects, 1), g) for g in gaussians] + [(0.25 if objects else 0.95, center)]
    return sum(weight * part / part.sum() for weight, part in parts) + 0.05 / x.size


def _simulated(make_dataset, images, observers, per_observer, objects=3, seed=0):
    """(data set, {id: true density}); the densities do not depend on the number of observers."""
    samples, densities = [], {}
    for i in range(images):
        density = _mixture(np.random.default_rng([seed, i]), objects)
        rng = np.random.default_rng([seed, i, observers])
        number = observers * per_observer
        row, column = np.divmod(rng.choice(density.size, number, p=density.ravel() / density.sum()), SIZE[1])
        densities[f"image_{i}"] = density
        samples.append(
            Sample(
                id=f"image_{i}",
                size=SIZE,
                read_image=lambda: np.zeros((*SIZE, 3), np.uint8),
                fixations=np.stack([column, row], axis=1) + rng.random((number, 2)),
                observers=np.repeat(np.arange(observers), per_observer),
                sigma=SIGMA,
            )
        )
    return make_dataset(samples, name="simulated"), densities


@pytest.fixture
def means(run_made):
    """A function of an evaluation and methods, given by name or made: {metric: value} of each."""

    def means(evaluation, *methods):
        found = [evaluation.run(m) if isinstance(m, str) else run_made(evaluation, m) for m in methods]
        return [{name: cell["mean"] for name, cell in result.metrics.items() if cell} for result in found]

    return means


@pytest.fixture
def fitted(tiny):
    return registry.create("inter_observer").fit(tiny.samples, Plan())


def _module():
    return registry.sys.modules[registry.get("inter_observer").__module__]


class TestAgainstTheTruth:
    def test_more_observers_bring_it_closer_from_below(self, make_dataset, tmp_path, means):
        """The truth has the highest expected log-likelihood; the ceiling stays below it and above the centre bias."""
        gaps, parts = [], []
        for observers in (3, 8, 20):
            dataset, densities = _simulated(make_dataset, 10, observers, per_observer=6)
            evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path / str(observers), QUIET)
            ceiling, truth, center = means(evaluation, "inter_observer", Known(densities), "center_bias")
            assert center["ig"] + 0.3 < ceiling["ig"] < truth["ig"]
            assert center["auc"] < ceiling["auc"] < truth["auc"]
            gaps.append(truth["ig"] - ceiling["ig"])
            parts.append(ceiling["ig"] / truth["ig"])
        assert gaps[0] > 1.5 * gaps[1] > 1.5 * gaps[2]
        assert parts[2] > 0.8

    def test_no_prediction_has_a_higher_cc(self, make_dataset, tmp_path, means):
        """The best one is the true density after the blur of the ground truth: it gets just what the ceiling says."""
        dataset, densities = _simulated(make_dataset, 30, observers=15, per_observer=6)
        evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path, QUIET)
        blurred = Known({id: gaussian_filter(density, SIGMA) for id, density in densities.items()})
        ceiling, best = means(evaluation, "inter_observer", blurred)
        assert best["cc"] == pytest.approx(ceiling["cc"], abs=0.005)
        assert set(ceiling) == set(best) - {"kl", "sim"}

    def test_on_popout(self, tmp_path, means):
        """Above other methods and below the density that the fixations are drawn from."""
        dataset = load("popout")
        dataset = replace(dataset, samples=dataset.samples[::3])
        evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path, QUIET)
        truth = Known({sample.id: true_density(sample.id) for sample in dataset.samples})
        names = "inter_observer", "center_bias", "lite"
        best, ceiling, *others = means(evaluation, truth, *names)
        for metric in ("auc", "nss", "ig"):
            assert max(scores.get(metric, -9) for scores in others) < ceiling[metric] < best[metric]
        assert max(scores["cc"] for scores in others) < ceiling["cc"]

    @pytest.mark.parametrize("objects", [0, 1])
    def test_few_fixations_do_not_put_it_below_a_model(self, make_dataset, tmp_path, objects, means):
        """Six fixations of other observers say less than the centre bias, so a ceiling has to know both."""
        dataset, densities = _simulated(make_dataset, 25, observers=3, per_observer=3, objects=objects)
        evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path, QUIET)
        ceiling, center, truth = means(evaluation, "inter_observer", "center_bias", Known(densities))
        for metric in ("auc", "nss", "ig"):
            assert center[metric] - 0.01 < ceiling[metric] < truth[metric]

    def test_the_weights_show_what_people_share(self, make_dataset):
        """Observers who agree on nothing but the centre get the centre bias; others are predicted by each other."""
        for objects, low, high in ((0, 0.8, 1.0), (3, 0.1, 0.45)):
            dataset, _ = _simulated(make_dataset, 30, observers=8, per_observer=6, objects=objects)
            *_, center, uniform = registry.create("inter_observer").fit(dataset.samples, Plan())._weights
            assert low < center + uniform < high


class TestPrediction:
    def test_is_a_density(self, fitted, tiny):
        for sample in tiny.samples:
            for density, _ in fitted.predict_held_out(sample):
                assert density.sum() == pytest.approx(1, rel=1e-9)
                assert density.min() > 0

    def test_is_the_mixture_that_it_says(self, fitted, tiny):
        """At this sigma the grid has the cells of the image."""
        sample, center = tiny.samples[0], registry.create("center_bias").fit(tiny.samples, Plan())
        module = _module()
        gaze = module._Gaze(sample, center.predict(sample.blind()))
        weights = np.random.default_rng(0).dirichlet(np.ones(len(module.BANDWIDTHS) + 2))
        mask = sample.observers != 1
        counts = np.zeros(sample.size)
        np.add.at(counts, tuple(sample.fixations[mask].astype(int).T[::-1]), 1 / mask.sum())
        *kernels, own, flat = weights
        expected = sum(
            weight * gaussian_filter(counts, bandwidth * sample.sigma)
            for weight, bandwidth in zip(kernels, module.BANDWIDTHS, strict=True)
        )
        expected += own * gaze._center + flat / counts.size
        assert_allclose(gaze.density(mask, weights), expected, rtol=0, atol=1e-15)

    def test_is_what_the_fit_saw(self, fitted, tiny):
        """The values that the weights are fitted on are those of the predictions, at the left-out fixations."""
        sample = tiny.samples[2]
        gaze = _module()._Gaze(sample, fitted._center.predict(sample.blind()))
        for observer in range(3):
            own = sample.observers == observer
            x, y = sample.fixations[own].astype(int).T
            at_fixations = gaze.density(~own, fitted._weights)[y, x]
            assert_allclose(gaze.values()[own] @ fitted._weights, at_fixations, rtol=1e-12)

    def test_the_weights_have_the_highest_likelihood(self):
        rng = np.random.default_rng(0)
        values = rng.gamma(0.5, size=(300, 4))

        def cost(free):
            weights = np.exp(free) / np.exp(free).sum()
            return -(np.log(values @ weights).sum() + np.log(weights).sum() / 4)

        best = minimize(cost, np.zeros(4), tol=1e-12).x
        assert_allclose(_module()._fitted(values), np.exp(best) / np.exp(best).sum(), atol=1e-5)

    def test_an_observer_is_left_out(self, fitted, tiny):
        """Wherever an observer looked on an image, the prediction for this observer is the same."""
        sample = tiny.samples[0]
        for observer in range(3):
            own = (sample.observers == observer)[:, None]
            elsewhere = np.where(own, sample.fixations[::-1, ::-1] * (0.9, 0.7), sample.fixations)
            moved = replace(sample, fixations=elsewhere)
            (before, _), (after, _) = (list(fitted.predict_held_out(s))[observer] for s in (sample, moved))
            assert_array_equal(before, after)
            others = [i for i in range(3) if i != observer]
            a, b = ([p for p, _ in fitted.predict_held_out(s)] for s in (sample, moved))
            assert all(np.abs(a[i] - b[i]).max() > 1e-6 for i in others)

    def test_masks_partition_the_fixations(self, fitted, tiny):
        sample = tiny.samples[0]
        masks = np.array([mask for _, mask in fitted.predict_held_out(sample)])
        assert len(masks) == 3
        assert_array_equal(masks.sum(0), 1)
        for mask in masks:
            assert len(np.unique(sample.observers[mask])) == 1

    def test_two_observers(self, fitted, tiny):
        sample = replace(tiny.samples[0], observers=tiny.samples[0].observers % 2)
        assert len(list(fitted.predict_held_out(sample))) == 2

    def test_the_grid_follows_sigma(self, make_samples):
        """Sigma is four cells on a large image, so the cost does not grow with the pixels."""
        samples = [replace(s, sigma=24.0) for s in make_samples([(600, 800)] * 3)]
        method = registry.create("inter_observer").fit(samples, Plan())
        assert {density.shape for density, _ in method.predict_held_out(samples[0])} == {(100, 134)}


class TestTrouble:
    def test_one_observer(self, fitted, tiny):
        sample = replace(tiny.samples[0], observers=np.zeros(len(tiny.samples[0].fixations), int))
        with pytest.raises(ValueError, match="image_0: expected at least two observers, got one"):
            list(fitted.predict_held_out(sample))

    def test_only_images_of_one_observer(self, tiny):
        alone = [replace(s, observers=np.zeros(len(s.fixations), int)) for s in tiny.samples]
        with pytest.raises(MethodUnavailable, match="needs an image with two observers"):
            registry.create("inter_observer").fit(alone, Plan())

    def test_unknown_observers(self, tiny):
        samples = [replace(tiny.samples[0], observers=None), *tiny.samples[1:]]
        with pytest.raises(MethodUnavailable, match="needs to know which observer made each fixation"):
            registry.create("inter_observer").fit(samples, Plan())

    def test_no_fixations(self, fitted, tiny):
        sample = replace(tiny.samples[0], fixations=np.empty((0, 2)), observers=np.empty(0, int))
        assert list(fitted.predict_held_out(sample)) == []

    def test_is_a_ceiling(self):
        assert [name for name in registry.available() if registry.get(name).sees_fixations] == ["inter_observer"]
