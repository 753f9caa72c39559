"""Each loss is its metric, and its gradient leads to a better score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salbench.metrics import METRICS, cc, kl, nss, sim
from salbench.training import Recipe
from salbench.training.losses import LOSSES, per_image

NUMPY = {
    # The loss has 1e-12 inside its logarithm, so that q log q is 0 at q = 0. As q log((q + t) / q) <= t, this adds at
    # most 1e-12 per pixel, or 2e-10 nats here; the metric's own eps is made as small as it may be.
    "kl": lambda p, q: kl(p, q, eps=1e-300),
    "cc": cc,
    "nss": lambda p, counts: nss(p, counts, ddof=0),
    "sim": lambda p, q: sim(p, q, floor=None),
}
SHAPE = (3, 11, 17)


def make(seed, spread=2.0, shape=SHAPE):
    """Logits, and the truth of the losses: float64 densities with zeros in them, and counts with repeats."""
    rng = np.random.default_rng(seed)
    density = np.maximum(rng.normal(0, 1, shape), 0) * rng.uniform(0.01, 100, (shape[0], 1, 1))
    counts = rng.poisson(0.1, shape).astype(np.float64)
    counts[:, 0, 0] = 2
    logits = torch.from_numpy(rng.normal(rng.normal(), spread, shape))
    return logits, {"density": torch.from_numpy(density), "counts": torch.from_numpy(counts)}


def densities(logits):
    """As NumPy does it: exp(logits - max) / sum."""
    maps = np.exp(logits.numpy() - logits.numpy().max((1, 2), keepdims=True))
    return maps / maps.sum((1, 2), keepdims=True)


def metric(name, logits, truth):
    needs = LOSSES[name][1]
    return np.array([NUMPY[name](p, t.numpy()) for p, t in zip(densities(logits), truth[needs], strict=True)])


def loss(name, logits, truth):
    function, needs, _ = LOSSES[name]
    return function(logits, truth[needs])


def test_every_loss_is_tied():
    assert set(LOSSES) == set(NUMPY)


@pytest.mark.parametrize("name", LOSSES)
class TestOne:
    @given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.01, 1.0, 5.0, 30.0]))
    @settings(max_examples=25, deadline=None)
    def test_equals_its_metric(self, name, seed, spread):
        logits, truth = make(seed, spread)
        np.testing.assert_allclose(loss(name, logits, truth), metric(name, logits, truth), rtol=1e-9, atol=1e-9)

    def test_in_float32_at_the_size_of_training(self, name):
        logits, truth = make(5, shape=(2, 144, 192))
        value = loss(name, logits.float(), {n: t.float() for n, t in truth.items()})
        assert value.dtype == torch.float32
        np.testing.assert_allclose(value, metric(name, logits, truth), rtol=1e-4, atol=1e-5)

    def test_half_precision_is_computed_in_float32(self, name):
        logits, truth = make(6)
        half = logits.bfloat16()
        value = loss(name, half, truth)
        np.testing.assert_allclose(value, loss(name, half.double(), truth), rtol=1e-5, atol=1e-6)

    def test_only_the_shape_of_the_density_counts(self, name):
        logits, truth = make(7)
        scaled = {"density": truth["density"] * 37, "counts": truth["counts"]}
        torch.testing.assert_close(loss(name, logits + 5, scaled), loss(name, logits, truth), rtol=1e-8, atol=1e-9)

    def test_one_value_per_image(self, name):
        logits, truth = make(8)
        whole = loss(name, logits, truth)
        for i in range(SHAPE[0]):
            alone = loss(name, logits[i : i + 1], {n: t[i : i + 1] for n, t in truth.items()})
            torch.testing.assert_close(alone, whole[i : i + 1])

    @pytest.mark.parametrize("size", [(11, 17), (144, 192)])
    def test_a_constant_prediction_is_the_uniform_density(self, name, size):
        """In float32 too, where a mean of equal numbers may come out next to them."""
        _, truth = make(9, shape=(2, *size))
        logits = torch.full((2, *size), 0.3, requires_grad=True)
        value = loss(name, logits, truth)
        uniform = [NUMPY[name](np.ones(size), t.numpy()) for t in truth[LOSSES[name][1]]]
        np.testing.assert_allclose(value.detach(), uniform, rtol=1e-4, atol=1e-5)
        value.sum().backward()
        assert logits.grad.isfinite().all()

    def test_gradient(self, name):
        logits, truth = make(10, shape=(2, 4, 5))
        truth["counts"][1] = 0
        logits.requires_grad_(True)
        assert torch.autograd.gradcheck(lambda x: loss(name, x, truth), logits, atol=1e-7)

    @pytest.mark.parametrize("spread", [1e-6, 1.0, 1e4])
    @pytest.mark.parametrize("missing", ["nothing", "density", "counts"])
    def test_value_and_gradient_are_finite(self, name, spread, missing):
        logits, truth = make(11, spread)
        truth = {n: torch.zeros_like(t) if n == missing else t for n, t in truth.items()}
        logits = logits.float().requires_grad_(True)
        value = loss(name, logits, truth)
        value.sum().backward()
        assert value.isfinite().all()
        assert logits.grad.isfinite().all()

    def test_a_step_along_the_gradient_improves_the_score(self, name):
        logits, truth = make(12)
        before = metric(name, logits, truth)
        logits.requires_grad_(True)
        per_image(logits, truth, {name: 1.0}).mean().backward()
        after = metric(name, (logits - 0.1 * logits.grad / logits.grad.abs().max()).detach(), truth)
        better = after - before if METRICS[name].higher_is_better else before - after
        assert (better > 1e-5).all()


def test_nss_of_an_image_without_fixations_is_zero_and_teaches_nothing():
    logits, truth = make(13)
    truth["counts"][1] = 0
    logits.requires_grad_(True)
    value = loss("nss", logits, truth)
    value.sum().backward()
    assert value[1] == 0
    assert (logits.grad[1] == 0).all()
    assert value[0] != 0
    assert logits.grad[0].abs().max() > 0


def test_nss_counts_a_pixel_as_often_as_it_was_fixated():
    logits, truth = make(14)
    high = logits[0].argmax()
    truth["counts"][:] = 0
    truth["counts"].view(3, -1)[0, [0, high]] = torch.tensor([1.0, 3.0], dtype=torch.float64)
    p = densities(logits)[0].ravel()
    z = (p - p.mean()) / p.std()
    assert loss("nss", logits, truth)[0].item() == pytest.approx((z[0] + 3 * z[high]) / 4)


class TestWeighted:
    def test_signs_and_weights(self):
        logits, truth = make(20)
        weights = {"kl": 2.0, "cc": 0.5, "nss": 0.25, "sim": 3.0}
        scores = {name: metric(name, logits, truth) for name in weights}
        expected = 2 * scores["kl"] - 0.5 * scores["cc"] - 0.25 * scores["nss"] - 3 * scores["sim"]
        np.testing.assert_allclose(per_image(logits, truth, weights), expected, atol=1e-8)

    @pytest.mark.parametrize("name", LOSSES)
    def test_lower_is_better(self, name):
        assert LOSSES[name][2] == (-1 if METRICS[name].higher_is_better else 1)

    def test_a_recipe_with_unknown_names_is_refused(self):
        with pytest.raises(ValueError, match=r"expected names among kl, cc, nss, sim, got auc, ig$"):
            Recipe(size=(24, 32), losses={"kl": 1.0, "ig": 1.0, "auc": 1.0})
