"""gamma: from published factors, and of decoders that are known to be linear."""

import gc
import weakref

import numpy as np
import pytest
import torch
from modules import part
from torch.nn.functional import avg_pool2d, interpolate

scaling, equations = part("scaling"), part("equations")

PUBLISHED = torch.tensor(  # of Stable Diffusion 1.x, as METHOD_NOTES section 5 of the kit quotes them
    [[0.298, 0.207, 0.208], [0.187, 0.286, 0.173], [-0.158, 0.189, 0.264], [-0.184, -0.271, -0.473]]
)
OFFSET = torch.tensor([0.3, -0.2, 0.1])


class Linear:
    """A backbone whose pixels are latents times a matrix plus an offset, 8 pixels a cell."""

    multiple, device = 64, torch.device("cpu")

    def __init__(self, matrix=PUBLISHED):
        self.matrix, self.encoded = matrix, []

    def encode(self, images):
        """Latents of which no three tell the fourth."""
        self.encoded.append(images)
        r, g, b = avg_pool2d(images.permute(0, 3, 1, 2) / 127.5 - 1, 8).unbind(1)
        return torch.stack([r + g, g - 2 * b, r * b + 0.5, 3 * b - r], 1)

    def decode(self, latents):
        pixels = torch.einsum("bchw,cd->bdhw", latents, self.matrix) + OFFSET[:, None, None]
        return interpolate(pixels, scale_factor=8, mode="nearest")


@pytest.fixture
def linear():
    return Linear()


class TestGammaOf:
    def test_the_published_factors(self):
        np.testing.assert_allclose(scaling.gamma_of(PUBLISHED), [1.611, 1.584, -0.275, -0.980], atol=1e-3)

    def test_one_more_in_each_channel_and_no_shorter_vector_does_it(self):
        gamma = scaling.gamma_of(PUBLISHED)
        np.testing.assert_allclose(gamma @ PUBLISHED, [1, 1, 1], rtol=1e-5)
        (unseen,) = np.linalg.svd(PUBLISHED.T.numpy())[2][3:]  # the latents that the decoder makes nothing of
        assert abs(gamma.numpy() @ unseen) < 1e-5

    def test_by_hand(self):
        """Red is twice the first latent, green the second and blue the sum of the last two."""
        matrix = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
        np.testing.assert_allclose(scaling.gamma_of(matrix), [0.5, 1, 0.5, 0.5], rtol=1e-5)


class TestDecoderMatrix:
    def test_of_a_linear_decoder(self, linear):
        np.testing.assert_allclose(scaling.decoder_matrix(linear), PUBLISHED, atol=1e-5)

    def test_is_fitted_to_what_a_backbone_can_encode(self, linear):
        """Pictures of many colours, of a size that it takes, and the same for every backbone."""
        scaling.gamma(linear)
        scaling.gamma(other := Linear())
        (images,), (again,) = linear.encoded, other.encoded
        assert images.dtype == torch.uint8
        assert images.shape[3] == 3
        assert not any(side % linear.multiple for side in images.shape[1:3])
        assert images.flatten(0, 2).float().std(0).min() > 30
        assert torch.equal(images, again)


class TestGamma:
    def test_makes_a_flat_grey_brighter_by_what_is_asked(self, linear):
        latents = linear.encode(torch.full((1, 64, 64, 3), 100, dtype=torch.uint8))
        region = torch.zeros(1, 1, 8, 8)
        region[..., :4] = 1
        region[..., 4] = 0.5
        strengths = torch.tensor([0.25, -0.5])[:, None, None, None]
        edited = equations.brightness(latents, region, strengths, scaling.gamma(linear))
        brighter = linear.decode(edited) - linear.decode(latents)
        for given, asked in zip(brighter, (0.25, -0.5), strict=True):
            np.testing.assert_allclose(given[..., :32], asked, rtol=1e-4)
            np.testing.assert_allclose(given[..., 32:40], asked / 2, rtol=1e-4)
            np.testing.assert_allclose(given[..., 40:], 0, atol=1e-6)

    def test_is_computed_once_for_each_backbone(self, linear):
        assert torch.equal(scaling.gamma(linear), scaling.gamma(linear))
        assert len(linear.encoded) == 1
        other = Linear(2 * PUBLISHED)
        torch.testing.assert_close(scaling.gamma(other), scaling.gamma(linear) / 2)
        assert len(other.encoded) == 1

    def test_keeps_no_backbone_loaded(self, linear):
        scaling.gamma(other := Linear())
        gone = weakref.ref(other)
        del other
        gc.collect()
        assert gone() is None

    def test_of_an_autoencoder(self, tiny_backbone):
        gamma = scaling.gamma(tiny_backbone)
        assert gamma.shape == (4,)
        assert gamma.dtype == torch.float32
        assert gamma.isfinite().all()
        assert not gamma.requires_grad
