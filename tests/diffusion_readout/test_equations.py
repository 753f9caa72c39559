"""Equations 1 and 2: by hand, by plain loops, against the kit's arrays, and what must hold for any latents."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from modules import part
from torch.nn.functional import interpolate

from salbench.edits import EDIT_TYPES

equations = part("equations")

KITS = Path(__file__).resolve().parents[1] / "kits"
BRIGHTER = [1.37575317, 1.32845229, -0.27514065, -0.90754053]  # METHOD_NOTES section 5: the released code's v
REDDER = [2.1686387, -1.76613569, -4.04359594, -1.12024549]  # and v_R


def alphas(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)[:, None, None, None]


class TestByHand:
    """Two cells, the first inside the region; gamma is 1, 0, 2 and -1."""

    LATENTS = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]])[None, :, None]
    INSIDE = torch.tensor([1.0, 0])[None, None, None]
    HALF = torch.tensor([0.5, 0])[None, None, None]
    GAMMA = torch.tensor([1.0, 0, 2, -1])

    BOTH = torch.tensor([1.0, 1])[None, None, None]
    UNEVEN = torch.tensor([0.75, 0.25])[None, None, None]

    def test_contrast(self):
        """The means are 1.5, 3.5, 5.5 and 7.5; 2 (1 - 1.5) + 1.5 = 0.5 and so on."""
        edited = equations.contrast(self.LATENTS, self.BOTH, alphas(2.0, 0.5), self.GAMMA)
        assert edited[0, :, 0].tolist() == [[0.5, 2.5], [2.5, 4.5], [4.5, 6.5], [6.5, 8.5]]
        assert edited[1, :, 0].tolist() == [[1.25, 1.75], [3.25, 3.75], [5.25, 5.75], [7.25, 7.75]]

    def test_contrast_of_one_cell_is_none(self):
        edited = equations.contrast(self.LATENTS, self.INSIDE, alphas(2.0), self.GAMMA)
        assert torch.equal(edited, self.LATENTS)

    def test_contrast_in_a_soft_mask(self):
        """The means weigh the cells by 3 : 1, so they are 1.25 and so on; 2 (1 - 1.25) + 1.25 = 0.75, by 0.75."""
        edited = equations.contrast(self.LATENTS, self.UNEVEN, alphas(2.0), self.GAMMA)
        assert edited[0, 0, 0].tolist() == [0.75 * 0.75 + 0.25 * 1, 0.25 * 2.75 + 0.75 * 2]

    def test_brightness(self):
        edited = equations.brightness(self.LATENTS, self.INSIDE, alphas(2.0, -1.0), self.GAMMA)
        assert edited[0, :, 0].tolist() == [[3, 2], [3, 4], [9, 6], [5, 8]]
        assert edited[1, :, 0].tolist() == [[0, 2], [3, 4], [3, 6], [8, 8]]

    def test_brightness_at_half_a_mask(self):
        edited = equations.brightness(self.LATENTS, self.HALF, alphas(2.0), self.GAMMA)
        assert edited[0, :, 0].tolist() == [[2, 2], [3, 4], [7, 6], [6, 8]]

    def test_color(self):
        edited = equations.color(self.LATENTS, self.INSIDE, alphas(2.0, 1.0), self.GAMMA)
        assert torch.equal(edited, self.LATENTS.repeat(2, 1, 1, 1))

    def test_each_image_has_its_own_region(self):
        """The first is inside the first cell, of which contrast has none to raise; the second in both."""
        latents, regions = self.LATENTS.expand(2, -1, -1, -1), torch.cat([self.INSIDE, self.BOTH])
        edited = equations.contrast(latents, regions, alphas(2.0, 2.0), self.GAMMA)
        assert torch.equal(edited[:1], self.LATENTS)
        assert edited[1, :, 0].tolist() == [[0.5, 2.5], [2.5, 4.5], [4.5, 6.5], [6.5, 8.5]]


def test_by_plain_loops():
    """Of a soft region, cell by cell as the equations are printed."""
    generator = np.random.default_rng(0)
    z, m, gamma = generator.normal(size=(4, 3, 5)), generator.random((3, 5)), generator.normal(size=4)
    m[0, :3] = 0
    means = [sum(m[y, x] * z[c, y, x] for y in range(3) for x in range(5)) / m.sum() for c in range(4)]
    contrast, brightness = np.empty_like(z), np.empty_like(z)
    for c, y, x in np.ndindex(z.shape):
        mu = means[c]
        contrast[c, y, x] = m[y, x] * (1.7 * (z[c, y, x] - mu) + mu) + (1 - m[y, x]) * z[c, y, x]
        brightness[c, y, x] = m[y, x] * (z[c, y, x] + 0.3 * gamma[c]) + (1 - m[y, x]) * z[c, y, x]
    latents, region, gamma = torch.tensor(z)[None], torch.tensor(m)[None, None], torch.tensor(gamma)
    given = equations.contrast(latents, region, alphas(1.7, dtype=torch.float64), gamma)
    np.testing.assert_allclose(given[0], contrast, rtol=1e-12)
    given = equations.brightness(latents, region, alphas(0.3, dtype=torch.float64), gamma)
    np.testing.assert_allclose(given[0], brightness, rtol=1e-12)


class TestReleasedCode:
    """Its brightness is the paper's, in a mask of zeros and ones; it calls brightness along v_R redness.

    Its contrast has one mean for all channels, which is not used here.
    """

    @pytest.fixture
    def kit(self):
        space = runpy.run_path(str(KITS / "weights.py"))
        attention = space["smooth_tensor"]("augsal.edit.attn", (1, 77, 16, 16), 1.5)[0].softmax(0)
        saliency = space["smooth_tensor"]("augsal.edit.sal", (1, 1, 16, 16), 2.0)[0, 0].sigmoid()
        return SimpleNamespace(
            latents=space["seeded_tensor"]("augsal.edit.latent", (1, 4, 64, 64)),
            region=self.mask(attention[8], saliency),
            expected=np.load(KITS / "augsal" / "expected_edit.npz"),
        )

    def mask(self, attention, saliency):
        """(1, 1, 64, 64) of the chosen word's attention, as METHOD_NOTES section 4 tells it."""
        kept = torch.where(attention * saliency > 1e-5, attention, 0)
        kept = torch.where(kept > kept.mean(), kept, 0)
        kept = interpolate(kept[None, None], size=(64, 64), mode="bilinear", align_corners=True)
        return (kept > kept.max() / 3).float()

    @pytest.mark.parametrize(
        ("mode", "equation", "strength", "gamma"),
        [
            ("brightness", equations.brightness, 0.15, BRIGHTER),
            ("redness", equations.brightness, 0.15, REDDER),
        ],
    )
    def test_edited_latents(self, kit, mode, equation, strength, gamma):
        edited = equation(kit.latents, kit.region, alphas(strength), torch.tensor(gamma))
        expected = kit.expected[f"edit/{mode}/latent_before_jump_sub2"]
        np.testing.assert_allclose(edited[0, :, ::2, ::2], expected, rtol=0, atol=2e-6)
        assert np.abs(expected - kit.latents[0, :, ::2, ::2].numpy()).max() > 0.1


@st.composite
def problems(draw):
    """(latents, region, gamma) in float64; some cells of the region are outside."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(2, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    latents, gamma = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((1, 4, height, width), (4,)))
    region = torch.rand((1, 1, height, width), generator=generator, dtype=torch.float64)
    region[torch.rand(region.shape, generator=generator) < 0.4] = 0
    region[..., 0, 0], region[..., 0, 1] = 1, 0
    return latents, region, gamma


STRENGTHS = st.floats(-4, 4)


def test_every_type_of_edit_has_a_row():
    assert equations.LATENT_EDITS.keys() == EDIT_TYPES.keys()


@pytest.mark.parametrize("type", list(EDIT_TYPES))
class TestAny:
    @settings(deadline=None, max_examples=30)
    @given(problem=problems(), strengths=st.lists(STRENGTHS, min_size=1, max_size=3))
    def test_nothing_changes_outside(self, type, problem, strengths):
        latents, region, gamma = problem
        edited = equations.LATENT_EDITS[type].equation(latents, region, alphas(*strengths, dtype=torch.float64), gamma)
        assert edited.shape == (len(strengths), *latents.shape[1:])
        outside = (region == 0).expand_as(edited)
        assert torch.equal(edited[outside], latents.expand_as(edited)[outside])

    @settings(deadline=None, max_examples=30)
    @given(problem=problems(), one=STRENGTHS, other=STRENGTHS, share=st.floats(0, 1))
    def test_is_linear_in_the_strength(self, type, problem, one, other, share):
        latents, region, gamma = problem
        between = share * one + (1 - share) * other
        edited = equations.LATENT_EDITS[type].equation(
            latents, region, alphas(one, other, between, dtype=torch.float64), gamma
        )
        torch.testing.assert_close(share * edited[0] + (1 - share) * edited[1], edited[2], rtol=1e-9, atol=1e-9)

    @settings(deadline=None, max_examples=30)
    @given(problem=problems())
    def test_the_neutral_strength_changes_nothing(self, type, problem):
        latents, region, gamma = problem
        neutral = alphas(EDIT_TYPES[type].neutral, dtype=torch.float64)
        edited = equations.LATENT_EDITS[type].equation(latents, region, neutral, gamma)
        torch.testing.assert_close(edited, latents, rtol=1e-9, atol=1e-9)
