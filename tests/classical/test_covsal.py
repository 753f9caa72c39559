"""covsal: the authors' block maps and maps; each step against a plain version."""

import sys
from functools import cache

import numpy as np
import pytest
from classical_goldens import assert_agree, expected, noise, picture
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import cholesky, eigvals
from scipy.ndimage import correlate

from salbench import registry
from salbench.maps import minmax, resize_matlab
from salbench.sample import Sample

CovSal = registry.get("covsal")
covsal = sys.modules[CovSal.__module__]
GOLDENS = {"sigma_points": "covsal_sigmapoints", "covariances": "covsal_covariancesonly"}
PICTURES = "popout", "noise", "osie1001"


def predict(image, option=""):
    return CovSal(option).predict(Sample("image", image.shape[:2], lambda: image))


@cache
def computed(name, option):
    """Block maps of a picture by its name, and the map that the same prediction makes of them."""
    block_maps, kept = covsal.block_maps, []

    def keep(*given):
        kept.extend(block_maps(*given))
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(covsal, "block_maps", keep)
        return kept, predict(picture(name), option)


@pytest.fixture(scope="module")
def planes():
    return covsal.features(resize_matlab(noise(128, 160), (512, 512)))


@pytest.fixture(scope="module")
def statistics(planes):
    return covsal.block_statistics(*covsal.segment_sums(planes), 64)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("option", CovSal.options)
class TestAuthors:
    def test_block_maps(self, option, name):
        for i, found in enumerate(computed(name, option)[0]):
            theirs = expected(GOLDENS[option], f"{name}__scale{i + 1}")
            assert np.corrcoef(found.ravel(), theirs.ravel())[0, 1] > 0.9999
            assert np.abs(minmax(found) - minmax(theirs)).max() < 0.01
            assert_allclose(found, theirs, atol=1e-6 * theirs.max())

    def test_map(self, option, name):
        assert_agree(computed(name, option)[1], GOLDENS[option], f"{name}__map_s2", r=0.9999, difference=0.01)


def test_features():
    rgb = np.random.default_rng(0).uniform(0, 255, (5, 6, 3))
    found, grey = covsal.features(rgb), rgb.mean(axis=2)
    assert_allclose(found[:3], np.moveaxis(covsal.rgb2lab(rgb / 255), 2, 0))
    assert found[3, 2, 4] == pytest.approx(abs(grey[3, 4] - grey[1, 4]))
    assert found[4, 2, 3] == pytest.approx(abs(grey[2, 4] - grey[2, 2]))
    assert found[3, 0, 1] == pytest.approx(abs(grey[1, 1] - grey[0, 1]))  # the border is repeated
    assert found[4, 2, 5] == pytest.approx(abs(grey[2, 5] - grey[2, 4]))
    assert_array_equal(found[5:, 2, 3], [3, 4])


class TestStatistics:
    @pytest.mark.parametrize(
        ("row", "column", "rows", "columns"),
        [
            (0, 3, slice(1, 65), slice(192, 257)),  # the first line is left out
            (3, 0, slice(192, 257), slice(1, 65)),
            (7, 1, slice(448, 512), slice(64, 129)),  # the last block ends with the picture
        ],
    )
    def test_plain_version(self, planes, statistics, row, column, rows, columns):
        pixels = planes[:, rows, columns].reshape(7, -1)
        assert_allclose(statistics[0][row, column], pixels.mean(axis=1), rtol=1e-12)
        assert_allclose(statistics[1][row, column], np.cov(pixels, bias=True), atol=1e-8)

    @pytest.mark.parametrize("side", covsal.BLOCKS)
    def test_lines_in_blocks(self, side):
        lines = covsal.block_members(side) @ np.diff(covsal.SEGMENTS, append=512)
        assert_array_equal(lines, [side, *[side + 1] * (512 // side - 2), side])


class TestDistances:
    here, there = (slice(2, 3), slice(1, 2)), (slice(3, 4), slice(4, 5))

    def test_sigma_points(self, statistics):
        points = []
        for row, column in ((2, 1), (3, 4)):
            mean, covariance = (part[row, column] for part in statistics)
            columns = cholesky(14.2 * (covariance + 0.001 * np.eye(7))).ravel(order="F")
            means = np.tile(mean, 7)
            points.append(np.concatenate([mean, means + columns, means - columns]))
        found = covsal.sigma_point_distance(*statistics)(self.here, self.there)
        assert_allclose(found, np.linalg.norm(points[0] - points[1]), rtol=1e-12)

    def test_covariances(self, statistics):
        eigenvalues = eigvals(statistics[1][2, 1], statistics[1][3, 4]).real
        found = covsal.covariance_distance(*statistics)(self.here, self.there)
        assert_allclose(found, np.sqrt((np.log(eigenvalues) ** 2).sum()), rtol=1e-9)
        assert_allclose(covsal.covariance_distance(*statistics)(self.there, self.here), found, rtol=1e-9)


@pytest.mark.parametrize("blocks", [4, 8, 16])
def test_mean_of_nearest_by_a_plain_version(blocks):
    points = np.random.default_rng(0).random((blocks, blocks, 3))
    plain = np.zeros((blocks, blocks))
    for y, x in np.ndindex(blocks, blocks):
        distances = [
            np.linalg.norm(points[y, x] - points[i, j]) / (1 + 512 / blocks * np.hypot(y - i, x - j))
            for i, j in np.ndindex(blocks, blocks)
            if 0 < max(abs(y - i), abs(x - j)) <= 3
        ]
        plain[y, x] = np.mean(sorted(distances)[: len(distances) // 10])
    found = covsal.mean_of_nearest(lambda here, there: np.linalg.norm(points[here] - points[there], axis=2), blocks)
    assert_allclose(found, plain, rtol=1e-12)


def test_centre_weights():
    weights = covsal.centre_weights(128)
    corners = [1, 129, 257, 385]
    by_hand = [[1 - np.hypot(y + 64 - 256, x + 64 - 256) / np.hypot(255, 255) for x in corners] for y in corners]
    assert_allclose(weights, by_hand)
    assert weights[1, 1] > weights[2, 2] > weights[0, 0] > weights[3, 3] > 0


@pytest.mark.parametrize("shape", [(30, 50), (31, 75), (1, 1)])
def test_to_picture(shape):
    salient = np.random.default_rng(0).random((512, 512))
    sigma = 0.02 * shape[1]
    size = max(1, round(4 * sigma))  # 4 and 6: even
    offsets = np.arange(size) - (size - 1) / 2
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2))
    resized = resize_matlab(salient, shape, "bilinear")
    origin = 0 if size % 2 else -1  # one more tap below and to the right
    plain = correlate(resized, kernel / kernel.sum(), mode="constant", origin=origin)
    assert_allclose(covsal.to_picture(salient, shape), plain, rtol=1e-12)


class TestProperties:
    def test_variants(self):
        assert_array_equal(predict(noise(40, 50)), predict(noise(40, 50), "sigma_points"))

    def test_the_red_disc_is_found(self):
        found = computed("popout", "covariances")[1]
        y, x = np.unravel_index(found.argmax(), found.shape)
        assert np.hypot(y - 60, x - 100) < 14  # its radius is 12

    @pytest.mark.parametrize("option", CovSal.options)
    def test_a_mirrored_picture_gives_nearly_the_mirrored_map(self, option):
        """Noise, overlaps of blocks, centre weights and the even kernel are not mirrored."""
        mirrored = predict(picture("noise")[:, ::-1], option)[:, ::-1]
        assert np.corrcoef(mirrored.ravel(), computed("noise", option)[1].ravel())[0, 1] > 0.99
