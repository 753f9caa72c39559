"""unisal: as its authors' code computes it, with seeded weights; and pictures of any size."""

import sys

import conformance
import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, interpolate, pad

from salbench import registry
from salbench.sample import Sample

TOLERANCE = 5e-4  # the kit's, in log densities that range over 19; its noise is 5e-5
CASES = {  # size and variant of the picture, size of the map
    "native_288x384_to_480x640": ((288, 384, 0), (480, 640)),
    "odd_320x352_to_333x401": ((320, 352, 1), (333, 401)),
}
TAPS = {name: name for name in ("skip_2x", "skip_4x", "post_cnn", "upsampling_2", "post_upsampling_2")}
TAPS |= {"cnn_stem": "cnn.features.0", "cnn_4x": "cnn.features.7", "cnn_2x": "cnn.features.14"}
TAPS |= {"cnn_1x": "cnn.features.18", "adaptation": "adaptation_salicon", "smoothing": "smoothing_salicon"}


@pytest.fixture(scope="module")
def kit():
    return conformance.load("unisal")


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("unisal", kit.state)


@pytest.fixture(scope="module")
def input_size(method):
    return sys.modules[type(method).__module__].input_size


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{case: {what the kit calls it: what we get}}, the log density (h, w) among them."""
    found = {}
    for case, (picture, size) in CASES.items():
        with torch.inference_mode(), conformance.traced(method.network, TAPS) as found[case]:
            logits = method.network(method.preprocess(kit.picture(*picture)), size)
            found[case]["log_prob"] = log_densities(logits)[0]
    return found


def log_densities(logits):
    return logits.flatten(-2).log_softmax(-1).view_as(logits)


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def sample_of(picture):
    return Sample("picture", tuple(picture.shape[:2]), lambda: np.asarray(picture))


class TestNetwork:
    def test_has_the_published_names_in_their_order(self, kit, method):
        assert list(method.network.state_dict()) == kit.names

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("tap", TAPS)
    def test_parts_are_as_published(self, kit, outputs, case, tap):
        ours, expected = outputs[case][tap], kit.expected[f"{case}/crop/{tap}"]
        channels, height, width = expected.shape
        close(kit.summary(ours), kit.expected[f"{case}/stats/{tap}"])
        close(ours[0, :channels, :height, :width], expected)

    @pytest.mark.parametrize("case", CASES)
    def test_log_density_is_as_published(self, kit, outputs, case):
        ours, (_, (height, width)) = outputs[case]["log_prob"], CASES[case]
        assert ours.shape == (height, width)
        top, left = height // 2 - 16, width // 2 - 16
        close(kit.summary(ours), kit.expected[f"{case}/stats/log_prob"])
        close(ours[::4, ::4], kit.expected[f"{case}/log_prob_sub4"])
        close(ours[top : top + 32, left : left + 32], kit.expected[f"{case}/log_prob_crop"])

    @pytest.mark.parametrize("case", CASES)
    def test_saved_picture_is_as_published(self, kit, outputs, case):
        density = outputs[case]["log_prob"].exp()
        saved = (255 * density / density.max()).to(torch.uint8)
        close(saved[::4, ::4].int(), kit.expected[f"{case}/saved_uint8_sub4"], 1)

    def test_priors_are_as_published(self, kit, method):
        with torch.inference_mode():
            close(method.network.priors((9, 12), "SALICON"), kit.expected["prior_maps_9x12"])

    def test_video_is_as_published(self, kit, method):
        frames = torch.cat([method.preprocess(kit.picture(64, 96, variant)) for variant in range(3)])
        with torch.inference_mode(), conformance.traced(method.network, {"states": "rnn"}) as traced:
            ours = log_densities(method.network.video(frames[None], (64, 96), "DHF1K"))
        close(ours[0, :, ::2, ::2], kit.expected["video_dhf1k_64x96/log_prob"])
        close(kit.summary(traced["states"][:, -1]), kit.expected["video_dhf1k_64x96/hidden_stats"])

    def test_clips_of_a_batch_do_not_see_each_other(self, kit, method):
        clips = torch.stack([method.preprocess(kit.picture(64, 96, variant)) for variant in range(4)]).view(
            2, 2, 3, 64, 96
        )
        with torch.inference_mode():
            together = method.network.video(clips, (64, 96), "UCFSports")
            alone = torch.cat([method.network.video(clip[None], (64, 96), "UCFSports") for clip in clips])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
        assert (together[0] - together[1]).abs().max() > 1e-2

    def test_pictures_of_a_batch_do_not_see_each_other(self, kit, method):
        pictures = torch.cat([method.preprocess(kit.picture(64, 96, variant)) for variant in range(2)])
        with torch.inference_mode():
            together = method.network(pictures, (70, 90))
            alone = torch.cat([method.network(picture[None], (70, 90)) for picture in pictures])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
        assert (together[0] - together[1]).abs().max() > 1e-2

    def test_smoothing_is_a_convolution_of_the_enlarged_map(self, method):
        smoothing, x = method.network.smoothing_salicon, torch.randn(2, 1, 8, 12)
        enlarged = pad(interpolate(x, scale_factor=8, mode="nearest"), [20] * 4, mode="replicate")
        with torch.inference_mode():
            torch.testing.assert_close(smoothing(x), conv2d(enlarged, smoothing.weight), rtol=0, atol=1e-5)

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 32, got \(64, 90\); resize"):
            method.network(torch.zeros(1, 3, 64, 90), (64, 90))


class TestInputSize:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((480, 640), (9, 12)),  # SALICON's, 288 x 384 as its authors state
            ((600, 800), (9, 12)),
            ((640, 480), (12, 9)),
            ((500, 500), (10, 10)),
            ((333, 401), (10, 12)),
            ((768, 1366), (8, 13)),
            ((10, 1000), (8, 13)),  # the widest there is
            ((1000, 10), (13, 8)),
            ((1, 1), (10, 10)),
        ],
    )
    def test_by_hand(self, input_size, size, expected):
        assert input_size(*size) == (32 * expected[0], 32 * expected[1])

    def test_is_the_first_best_of_a_plain_search(self, input_size):
        for height in range(200, 900, 37):
            for width in range(200, 900, 41):
                best, found = 0, None
                for rows in range(7, 14):
                    for columns in range(7, 14):
                        a, b = rows / columns, height / width
                        if 100 <= rows * columns <= 120 and min(a, b) / max(a, b) > best:
                            best, found = min(a, b) / max(a, b), (32 * rows, 32 * columns)
                assert input_size(height, width) == found


class TestPreprocessing:
    def test_is_standardised_rgb(self, method):
        (red, green, blue), *_ = method.preprocess(torch.tensor([255, 128, 0], dtype=torch.uint8).view(1, 1, 1, 3))
        assert red.item() == pytest.approx((1 - 0.485) / 0.229, abs=1e-6)
        assert green.item() == pytest.approx((128 / 255 - 0.456) / 0.224, abs=1e-6)
        assert blue.item() == pytest.approx(-0.406 / 0.225, abs=1e-6)

    def test_pictures_are_resized_by_lanczos_filter(self, method):
        """By its definition: sinc(x) sinc(x / 3), widened by the factor of shrinking, weights summing to one."""
        row = np.random.default_rng(0).integers(0, 256, 640).astype(np.uint8)
        picture = np.broadcast_to(row[None, :, None], (480, 640, 3))
        scale = 640 / 384
        x = (np.arange(640) + 0.5 - scale * (np.arange(384)[:, None] + 0.5)) / scale
        weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
        expected = np.clip(weights @ row / weights.sum(1), 0, 255)
        images = method.images_of(sample_of(picture))
        assert images.shape == (1, 288, 384, 3)
        assert images.dtype == torch.uint8
        close(images[0, 100, :, 1], expected, 1)


class TestPrediction:
    def test_is_as_published(self, kit, method):
        """A picture of the network's own size is seen as it is, and its logits are the published last map."""
        log_density = method.predict(sample_of(kit.picture(288, 384, 0)[0]))
        assert log_density.shape == (288, 384)
        expected = kit.expected["native_288x384_to_480x640/crop/smoothing"][0]
        close(log_density[:8, :8] - log_density[0, 0], expected - expected[0, 0])

    @pytest.mark.parametrize("size", [(61, 23), (1, 1)])
    def test_is_a_log_density_of_the_picture_s_size(self, kit, method, size):
        log_density = method.predict(sample_of(kit.picture(*size, 1)[0]))
        assert method.output == "log_density"
        assert log_density.shape == size
        assert log_density.dtype == np.float32
        assert np.exp(log_density.astype(float)).sum() == pytest.approx(1, abs=1e-4)

    def test_in_batches(self, kit, method):
        samples = [sample_of(kit.picture(*size)[0]) for size in ((61, 80, 0), (61, 80, 1), (90, 120, 0))]
        together = method.predict_batch(samples)
        for sample, prediction in zip(samples, together, strict=True):
            close(prediction, method.predict(sample), 1e-5)


class TestFit:
    def test_what_pictures_need_learns_and_nothing_else(self):
        torch.manual_seed(0)
        network = registry.create("unisal").build_network()
        (network(torch.randn(2, 3, 64, 96), (64, 96)) * torch.randn(2, 64, 96)).sum().backward()
        learning = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert learning == {name for name, p in network.named_parameters() if p.requires_grad}
        assert not [name for name in learning if "rnn" in name or "dhf1k" in name.lower()]
        assert {
            "smoothing_salicon.weight",
            "coarse_gaussians_salicon",
            "skip_4x.reduction.1.bn_SALICON.bias",
        } < learning

    def test_smoothing_begins_as_a_gaussian(self):
        """Of the deviation exp(-2) on a grid of 41 points from 0 to 1, summing to one."""
        kernel = registry.create("unisal").build_network().smoothing_dhf1k.weight[0, 0].detach()
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        deviation = np.exp(-2) * 40  # in pixels
        assert kernel[20, 24] / kernel[20, 20] == pytest.approx(np.exp(-0.5 * (4 / deviation) ** 2), rel=1e-4)
        assert kernel[13, 24] / kernel[20, 20] == pytest.approx(np.exp(-0.5 * (65 / deviation**2)), rel=1e-4)
