"""Shares and properties of regions, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from studies import MASK, SIZE

from salbench.study.regions import edited_property, fitted, psnr_outside, share_of_fixations, share_of_map


class TestRegions:
    def test_above_half_of_the_peak_is_inside(self):
        mask = fitted(np.array([[200.0, 101.0], [100.0, 0.0]]), (2, 2))
        assert_allclose(mask, [[1, 0.505], [0.5, 0]])
        centres = [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)]
        assert [share_of_fixations([point], mask) for point in centres] == [1, 1, 0, 0]

    def test_shares(self):
        mask = fitted(np.array([[1.0, 0.0], [1.0, 0.0]]), (2, 2))
        assert share_of_fixations([(0.0, 0.0), (0.99, 1.99), (1.0, 0.0), (0.2, 1.0)], mask) == 0.75
        assert share_of_map(np.array([[1.0, 2.0], [3.0, 4.0]]), mask) == pytest.approx(0.4)
        assert share_of_map(np.array([[1.0, -1.0], [3.0, 4.0]]), mask) == pytest.approx((2 + 4) / (2 + 0 + 4 + 5))
        assert share_of_map(np.full((2, 2), 7.0), mask) == pytest.approx(0.5)

    def test_a_mask_is_brought_to_the_size_of_the_image(self):
        inside = fitted(np.array([[90.0, 0.0], [0.0, 0.0]]), (60, 60)) > 0.5
        # Bilinear: from the centre of one pixel, at 15, to that of the next, at 45, the value falls from 1 to 0.
        assert inside[14, 29]
        assert not inside[14, 30]
        assert inside[29, 14]
        assert not inside[29, 29]

    def test_exactly_half_is_outside_whatever_the_scale(self):
        """Grey values give exact halves when they are interpolated; a mask scaled to 0..1 has them but for rounding."""
        grey = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.float32)
        as_stored, scaled = (fitted(mask, (400, 400)) for mask in (grey, grey / 255))
        assert (as_stored == 0.5).sum() > 10
        assert_array_equal(as_stored > 0.5, scaled > 0.5)

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (np.zeros((6, 8)), r"expected a region above zero, got values from 0 to 0"),
            (np.full((6, 8), -1.0), r"expected a region above zero, got values from -1 to -1"),
            (np.full((6, 8), 255.0), r"got a mask that covers all of it"),
            (np.eye(8), r"expected the aspect ratio of the image, 12 x 16 \(height, width\), got 8 x 8"),
        ],
    )
    def test_a_mask_that_says_nothing(self, mask, message):
        with pytest.raises(ValueError, match=message):
            fitted(mask, SIZE)

    def test_no_fixations(self):
        with pytest.raises(ValueError, match=r"fixations: expected at least one, got none"):
            share_of_fixations(np.empty((0, 2)), fitted(MASK, SIZE))


class TestProperties:
    mask = np.array([[1.0, 0.6, 0.4, 0.0]])

    def picture(self, *greys):
        return np.array(greys, np.uint8)[None, :, None].repeat(3, axis=2)

    def test_contrast_and_brightness(self):
        """Two pixels are inside, of 0.2 and 0.6."""
        picture = self.picture(51, 153, 255, 0)
        assert edited_property("contrast", picture, picture, self.mask) == pytest.approx(0.2)
        assert edited_property("brightness", picture, picture, self.mask) == pytest.approx(0.4)
        red = np.array([[[255, 0, 0], [255, 0, 0], [0, 0, 0], [0, 0, 0]]], np.uint8)
        assert edited_property("brightness", red, picture, self.mask) == pytest.approx(0.299)

    def test_color(self):
        """CIELAB of sRGB red is (53.24, 80.09, 67.20) in D65; a grey has a = b = 0, whatever its lightness."""
        red = np.array([[[255, 0, 0], [90, 90, 90], [0, 255, 0], [0, 0, 255]]], np.uint8)
        expected = np.hypot(80.09, 67.20) / 2
        assert edited_property("color", red, self.picture(10, 200, 30, 40), self.mask) == pytest.approx(
            expected, rel=1e-3
        )

    def test_psnr_counts_only_where_the_mask_is_below_a_tenth(self):
        mask = np.array([[1.0, 0.2, 0.05, 0.0]])
        original = self.picture(100, 100, 100, 100)
        expected = 10 * np.log10(255**2 / ((6**2 + 8**2) / 2))
        assert psnr_outside(self.picture(0, 0, 106, 92), original, mask) == pytest.approx(expected)
        assert psnr_outside(self.picture(0, 0, 100, 100), original, mask) == np.inf
        assert np.isnan(psnr_outside(original, original, np.array([[1.0, 0.2, 0.2, 0.2]])))
