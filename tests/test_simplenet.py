"""simplenet, and the encoder that it shares with tempsal: as its authors' code computes it, with seeded weights."""

import sys
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from PIL import Image

from salbench.metrics import kl
from salbench.sample import Sample

TOLERANCE = 1e-4  # the kit's, whose noise is 2.3e-5
CASES = {"native_256": (256, 256, 0), "other_192x320": (192, 320, 1)}  # height, width and variant of the picture
TAPS = {name: f"pnas.{name}" for name in ("conv0_bn", "stem1", "stem2")}
TAPS |= {f"cell{i}": f"pnas.cells.{i}" for i in (0, 3, 4, 7, 8, 11)}
TAPS |= {f"deconv{i}": f"deconv_layer{i}" for i in range(5)} | {"logit": "deconv_layer5"}


@pytest.fixture(scope="module")
def kit():
    return conformance.load("simplenet")


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("simplenet", kit.state)


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{case: {what the kit calls it: what we get}}; the map is the exponential of the logits."""
    found = {}
    for case, size in CASES.items():
        with torch.inference_mode(), conformance.traced(method.network, TAPS) as found[case]:
            found[case]["map"] = method.logits(method.network, kit.picture(*size), [None]).exp()
    return found


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestNetwork:
    def test_has_the_published_names_in_their_order(self, kit, method):
        assert list(method.network.state_dict()) == kit.names

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_takes_names_with_and_without_module(self, kit, method, prefix):
        assert list(method.published({prefix + name: None for name in kit.names})) == kit.names

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("tap", TAPS)
    def test_parts_are_as_published(self, kit, outputs, case, tap):
        ours = outputs[case][tap]
        close(kit.summary(ours), kit.expected[f"{case}/stats/{tap}"])
        close(ours[0, :4, :4, :4], kit.expected[f"{case}/crop/{tap}"])

    @pytest.mark.parametrize("case", CASES)
    def test_map_is_as_published(self, kit, outputs, case):
        ours, (height, width, _) = outputs[case]["map"], CASES[case]
        assert ours.shape == (1, height, width)
        top, left = height // 2 - 16, width // 2 - 16
        close(kit.summary(ours), kit.expected[f"{case}/stats/map"])
        close(ours[0, ::2, ::2], kit.expected[f"{case}/map_sub2"])
        close(ours[0, top : top + 32, left : left + 32], kit.expected[f"{case}/map_crop"])

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 32, got \(256, 250\); resize"):
            method.network(torch.zeros(1, 3, 256, 250))


@pytest.fixture(scope="module")
def smoothed(method):
    return sys.modules[type(method).__module__].smoothed


class TestSmoothed:
    def test_kernel_is_as_published(self, kit, smoothed):
        impulse = np.zeros((31, 31))
        impulse[15, 15] = 1
        kernel = kit.expected["post/gauss11_kernel_1d"]
        close(smoothed(impulse, (31, 31))[10:21, 10:21], np.outer(kernel, kernel), 1e-12)

    def test_as_published(self, kit, smoothed, outputs):
        saliency = outputs["native_256"]["map"][0]
        large = smoothed(saliency, (480, 640))
        close(large[::4, ::4], kit.expected["post_480x640/blurred_sub4"])
        close(large[:16, :16], kit.expected["post_480x640/blurred_corner"])
        close(smoothed(saliency, (256, 256))[::2, ::2], kit.expected["post_val/blur256_sub2"])

    def test_stretched_and_rounded_as_published(self, kit, smoothed, outputs):
        large = smoothed(outputs["native_256"]["map"][0], (480, 640))
        stretched = (large - large.min()) / (np.ptp(large) + 1e-5)
        rounded = np.round(np.minimum(stretched * 255 + 0.5, 255))
        close(rounded[::4, ::4], kit.expected["post_480x640/uint8_sub4"], 1)

    @pytest.mark.parametrize("size", [(1, 1), (2, 300), (1000, 3)])
    def test_any_size(self, smoothed, outputs, size):
        saliency = outputs["native_256"]["map"][0]
        brought = smoothed(saliency, size)
        assert brought.shape == size
        assert saliency.min() <= brought.min() <= brought.max() <= saliency.max()

    def test_shrinks_without_antialiasing(self, smoothed):
        """Bilinear at the centre of every third pixel is that pixel; one row, so that the blur is that of columns."""
        row = np.random.default_rng(0).random((1, 96))
        padded = np.pad(row[0, 1::3], 5, mode="reflect")
        kernel = np.exp(-(np.arange(-5, 6) ** 2) / 8)
        expected = [padded[i : i + 11] @ kernel / kernel.sum() for i in range(32)]
        close(smoothed(row, (1, 32))[0], expected, 1e-12)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (90, 37, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def map_of_picture(method, picture):
    """What the network makes of the picture at 64 x 64."""
    resized = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR), dtype=np.float32)
    with torch.inference_mode():
        return method.network(torch.from_numpy(resized / 127.5 - 1).permute(2, 0, 1)[None]).sigmoid()[0, 0]


class TestPrediction:
    @pytest.fixture(autouse=True)
    def _small(self, method, monkeypatch):
        monkeypatch.setattr(method, "recipe", method.recipe.at((64, 64)))

    def test_is_the_smoothed_map_from_0_to_1(self, method, smoothed, picture, map_of_picture):
        """Also beside another picture."""
        sample, other = (Sample("picture", (90, 37), lambda image=i: image) for i in (picture, 255 - picture))
        prediction, of_other = method.predict_batch([sample.blind(), other.blind()])
        expected = smoothed(map_of_picture, (90, 37))
        assert np.abs(of_other - prediction).max() > 0.01
        assert (prediction.min(), prediction.max()) == (0, 1)
        close(prediction, (expected - expected.min()) / np.ptp(expected))

    def test_loss_is_the_divergence_of_the_map(self, method, picture, map_of_picture):
        density = np.random.default_rng(1).random((64, 64))
        batch = SimpleNamespace(
            images=method.images_of(Sample("picture", (90, 37), lambda: picture)),
            samples=[SimpleNamespace(caption=None)],
            density=torch.from_numpy(density)[None],
            counts=torch.ones(1, 64, 64),
            edits=None,
        )
        with torch.inference_mode():
            loss = method.loss(lambda images: torch.logit(map_of_picture)[None, None], batch)
        assert loss.item() == pytest.approx(kl(map_of_picture.numpy(), density), abs=1e-5)


def test_all_but_the_unused_classifier_learns(method):
    """At the smallest size."""
    network = method.network
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    (method.logits(network, images, [None]) * torch.randn(1, 64, 64)).sum().backward()
    still = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert still == ["pnas.classifier.weight", "pnas.classifier.bias"]
