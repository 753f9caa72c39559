"""Points and shares of densities whose mass is known, and of random ones against counting small parts of pixels."""

import json

import numpy as np
import pytest

from salbench.attention_summary import check_regions, grid_shares, radius_of, region_shares, salient_points, summarise

SIZE = (120, 200)


def gaussian(x, y, sigma=6.0, size=SIZE):
    """A density around the centre of pixel x, y."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    found = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return found / found.sum()


@pytest.fixture
def noise():
    density = np.random.default_rng(0).random((7, 11))
    return density / density.sum()


class TestPoints:
    def test_they_are_the_peaks_from_high_to_low(self):
        density = 0.5 * gaussian(50, 40) + 0.3 * gaussian(150, 30) + 0.2 * gaussian(100, 90)
        assert [(p.x, p.y) for p in salient_points(density)] == [(50, 40), (150, 30), (100, 90)]
        assert [(p.x, p.y) for p in salient_points(density, count=2)] == [(50, 40), (150, 30)]

    def test_the_share_is_that_of_the_disc(self):
        """A Gaussian has 1 - exp(-r^2 / (2 sigma^2)) of its mass within r."""
        (point,) = salient_points(gaussian(50, 40))
        radius = radius_of(SIZE)
        assert radius == 8
        assert point.share == pytest.approx(1 - np.exp(-(radius**2) / 72), abs=0.01)

    def test_the_disc_is_counted_pixel_by_pixel(self):
        density = np.random.default_rng(3).random((40, 50))
        density[20, 1] = 2  # its disc is cut by the border
        point = salient_points(density, count=1)[0]
        inside = [(x - 1) ** 2 + (y - 20) ** 2 <= radius_of((40, 50)) ** 2 for y in range(40) for x in range(50)]
        assert (point.x, point.y) == (1, 20)
        assert point.share == pytest.approx(density.ravel()[inside].sum() / density.sum(), rel=1e-12)

    def test_a_maximum_within_two_radii_of_a_higher_one_is_left_out(self):
        distances = {}
        for distance in (14, 16, 17, 20):
            density = gaussian(50, 40, 2) + 0.9 * gaussian(50 + distance, 40, 2)
            distances[distance] = len(salient_points(density))
        assert distances == {14: 1, 16: 1, 17: 2, 20: 2}

    def test_shares_add_up_to_at_most_one(self):
        density = np.random.default_rng(1).random((20, 25))
        shares = [point.share for point in salient_points(density, count=500)]
        assert len(shares) > 20
        assert 0.3 < sum(shares) <= 1

    def test_of_a_mirrored_picture(self):
        density = 0.5 * gaussian(50, 40) + 0.3 * gaussian(150, 30) + 0.2 * gaussian(199, 90)
        for mirrored in (density[:, ::-1], density[::-1]):
            for before, after in zip(salient_points(density), salient_points(mirrored), strict=True):
                assert mirrored[after.y, after.x] == density[before.y, before.x]
                assert after.share == pytest.approx(before.share, rel=1e-9)

    def test_a_flat_top_counts_once_at_its_centre(self):
        density = gaussian(100, 60)
        density[30:41, 20:61] = 1
        first = salient_points(density)[0]
        assert (first.x, first.y) == (40, 35)

    def test_a_flat_density_and_a_terrace_have_none(self):
        assert salient_points(np.ones((30, 40))) == []
        stairs = np.repeat([[1.0, 2.0, 3.0]], 10, axis=0).repeat(10, axis=1)
        assert [point.x // 10 for point in salient_points(stairs)] == [2]

    def test_the_scale_does_not_matter(self):
        density = gaussian(50, 40)
        assert salient_points(1e6 * density)[0].share == pytest.approx(salient_points(density)[0].share)


class TestGrid:
    def test_known_mass(self):
        density = np.zeros((30, 60))
        density[0:10, 0:20] = 0.3 / 200
        density[20:30, 40:60] = 0.7 / 200
        np.testing.assert_allclose(grid_shares(density), [[0.3, 0, 0], [0, 0, 0], [0, 0, 0.7]], atol=1e-15)

    @pytest.mark.parametrize("grid", [(1, 1), (2, 5), (3, 4), (9, 13)])
    def test_a_cut_pixel_is_shared(self, noise, grid):
        """Each pixel is split into as many parts as the grid has rows and columns; then no part is cut."""
        parts = noise.repeat(grid[0], 0).repeat(grid[1], 1) / np.prod(grid)
        slow = parts.reshape(grid[0], noise.shape[0], grid[1], noise.shape[1]).sum((1, 3))
        found = grid_shares(noise, grid)
        np.testing.assert_allclose(found, slow, atol=1e-15)
        assert found.sum() == pytest.approx(1, abs=1e-14)

    def test_of_a_mirrored_picture(self, noise):
        np.testing.assert_allclose(grid_shares(noise[:, ::-1]), grid_shares(noise)[:, ::-1], atol=1e-15)


class TestRegions:
    def test_known_mass(self):
        density = np.full((10, 20), 0.2 / 150)
        density[2:7, 5:15] = 0.8 / 50
        shares = region_shares(density, {"sign": [5, 2, 15, 7], "left half": [0, 0, 10, 10], "all": [0, 0, 20, 10]})
        assert shares["sign"] == pytest.approx((0.8, 0.25))
        assert shares["left half"] == pytest.approx((0.5, 0.5))
        assert shares["all"] == pytest.approx((1, 1))

    @pytest.mark.parametrize("box", [(0, 0, 11, 7), (2, 1, 3, 2), (2.5, 1.2, 3.1, 6.9), (4.2, 0, 4.4, 0.1)])
    def test_a_box_cuts_pixels(self, noise, box):
        """Each pixel is split into 10 x 10 parts; then no part is cut."""
        left, top, right, bottom = (round(10 * edge) for edge in box)
        parts = noise.repeat(10, 0).repeat(10, 1) / 100
        (found,) = region_shares(noise, {"box": box}).values()
        assert found.share == pytest.approx(parts[top:bottom, left:right].sum(), abs=1e-14)
        assert found.area == pytest.approx((right - left) * (bottom - top) / parts.size)

    def test_a_mask_is_inside_above_half_of_its_peak(self, noise):
        mask = np.zeros((7, 11), np.uint8)
        mask[1:3, 2:5], mask[5, 5], mask[6, 6] = 200, 101, 100
        slow = noise[1:3, 2:5].sum() + noise[5, 5]
        assert region_shares(noise, {"mask": mask})["mask"] == pytest.approx((slow, 7 / 77))
        assert region_shares(noise, {"mask": mask > 100})["mask"] == pytest.approx((slow, 7 / 77))

    def test_a_box_is_its_mask(self, noise):
        mask = np.zeros((7, 11))
        mask[1:4, 3:9] = 1
        assert region_shares(noise, {"a": [3, 1, 9, 4]})["a"] == pytest.approx(region_shares(noise, {"a": mask})["a"])

    @pytest.mark.parametrize(
        ("region", "message"),
        [
            ([3, 1, 3, 4], "region 'a': expected a box .* with left < right <= 11 and top < bottom <= 7"),
            ([3, 4, 9, 1], "got \\[3.0, 4.0, 9.0, 1.0\\]"),
            ([-1, 0, 3, 4], "expected a box"),
            ([0, 0, 12, 4], "expected a box"),
            ([0, 0, 4, 7.5], "expected a box"),
            ([0, 0, np.nan, 4], "expected a box"),
            ([0, 0, 4], "expected a box"),
            (np.ones((7, 10)), r"a mask with the picture's size, 7 x 11 \(height, width\), got 7 x 10"),
            (np.zeros((7, 11)), "region 'a': expected a mask with a part above zero"),
        ],
    )
    def test_what_cannot_be_measured(self, noise, region, message):
        with pytest.raises(ValueError, match=message):
            region_shares(noise, {"a": region})
        with pytest.raises(ValueError, match=message):
            check_regions({"a": region}, noise.shape)


def test_a_summary_is_all_of_it_as_json():
    density = gaussian(50, 40)
    found = json.loads(json.dumps(summarise(density, grid=(2, 2), regions={"left": [0, 0, 100, 120]})))
    (point,) = salient_points(density)
    assert found["points"] == [{"x": 50, "y": 40, "share": point.share}]
    assert found["radius"] == 8
    np.testing.assert_allclose(found["grid"], grid_shares(density, (2, 2)))
    assert found["regions"]["left"] == pytest.approx({"share": 1, "area": 0.5})
    assert summarise(density)["regions"] == {}
