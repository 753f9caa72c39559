"""Photometric properties: against numbers worked by hand, plain loops, and what the released code gets right."""

import math

import augsal_kit
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from modules import part

properties = part("properties")


def one(image, mask):
    """Properties of one image, by name. Image (h, w, 3), mask (h, w)."""
    image, mask = (torch.as_tensor(np.asarray(a, dtype=np.float64)) for a in (image, mask))
    values = properties.photometric_properties(image.permute(2, 0, 1)[None], mask[None, None])
    assert values.shape == (1, len(properties.PROPERTIES))
    return dict(zip(properties.PROPERTIES, values[0].tolist(), strict=True))


def plain(image, mask):
    """The same by loops over pixels."""
    height, width, _ = image.shape
    pixels = [(image[y, x], mask[y, x]) for y in range(height) for x in range(width)]
    if sum(m for _, m in pixels) == 0:
        pixels = [(p, 1.0) for p, _ in pixels]

    def grey(pixel):
        return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]

    def mean(function):
        return sum(m * function(p) for p, m in pixels) / sum(m for _, m in pixels)

    brightness, overall = mean(grey), sum(grey(p) for p, _ in pixels) / len(pixels)
    return {
        "red": mean(lambda p: p[0]),
        "green": mean(lambda p: p[1]),
        "blue": mean(lambda p: p[2]),
        "brightness": brightness,
        "local_contrast": math.sqrt(mean(lambda p: (grey(p) - brightness) ** 2)),
        "global_contrast": math.sqrt(mean(lambda p: (grey(p) - overall) ** 2)),
    }


class TestByHand:
    """Red over green on the left, which is the area; blue over white on the right."""

    IMAGE = (((1, 0, 0), (0, 0, 1)), ((0, 1, 0), (1, 1, 1)))
    LEFT = ((1, 0), (1, 0))

    @pytest.fixture
    def values(self):
        return one(self.IMAGE, self.LEFT)

    def test_colour_is_averaged_over_the_area(self, values):
        """(1 + 0) / 2, (0 + 1) / 2, (0 + 0) / 2."""
        assert (values["red"], values["green"], values["blue"]) == (0.5, 0.5, 0)

    def test_brightness(self, values):
        """(0.299 + 0.587) / 2."""
        assert values["brightness"] == pytest.approx(0.443)

    def test_local_contrast(self, values):
        """Both pixels are 0.144 from 0.443."""
        assert values["local_contrast"] == pytest.approx(0.144)

    def test_global_contrast(self, values):
        """Mean of the image: (0.299 + 0.587 + 0.114 + 1) / 4 = 0.5. Deviations of the area's pixels: -0.201, 0.087.

        sqrt((0.040401 + 0.007569) / 2) = sqrt(0.023985).
        """
        assert values["global_contrast"] == pytest.approx(0.023985**0.5)

    def test_parts_of_pixels(self):
        """A quarter of the red pixel and half of the white one: red is 1, green (0.5 x 1) / 0.75."""
        values = one(self.IMAGE, ((0.25, 0), (0, 0.5)))
        assert values["red"] == pytest.approx(1)
        assert values["green"] == pytest.approx(2 / 3)
        assert values["brightness"] == pytest.approx((0.25 * 0.299 + 0.5) / 0.75)

    def test_an_empty_area_is_the_whole_image(self):
        """Each channel is on in two of four pixels; both contrasts are then the same."""
        values = one(self.IMAGE, ((0, 0), (0, 0)))
        assert (values["red"], values["green"], values["blue"]) == (0.5, 0.5, 0.5)
        assert values["brightness"] == pytest.approx(0.5)
        assert values["local_contrast"] == pytest.approx(values["global_contrast"])


UNIT = st.floats(0, 1).filter(lambda v: v == 0 or v > 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_equal_to_loops_over_pixels(data, height, width):
    image = data.draw(arrays(np.float64, (height, width, 3), elements=UNIT))
    mask = data.draw(arrays(np.float64, (height, width), elements=UNIT))
    values, expected = one(image, mask), plain(image, mask)
    for name in properties.PROPERTIES:
        assert values[name] == pytest.approx(expected[name], abs=1e-7), name


def test_images_of_a_batch_do_not_see_each_other():
    images, masks = torch.rand(3, 3, 5, 6), (torch.rand(3, 1, 5, 6) > 0.5).float()
    masks[1] = 0
    together = properties.photometric_properties(images, masks)
    alone = [properties.photometric_properties(i[None], m[None]) for i, m in zip(images, masks, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_colour_and_brightness_of_the_released_code(shared):
    """It divides the sum of a colour by the area of the image, here 128 x 160, and not of the patch, 70 x 90; and its
    brightness is the mean of all channels, leaving out zeros, of which this picture has none."""
    kit = augsal_kit.load(shared)
    expected = np.load(kit.folder / "expected_edit.npz")
    mask = np.zeros((128, 160))
    mask[20:90, 40:130] = 1
    values = one(kit.synthetic_rgb(128, 160, 0) / 255, mask)
    colour = np.array([values[name] for name in ("red", "green", "blue")])
    np.testing.assert_allclose(colour * (70 * 90) / (128 * 160), expected["attributes/avg_rgb"][0], atol=1e-6)
    assert colour.mean() == pytest.approx(float(expected["attributes/brightness"]), abs=1e-6)


class TestBoxMasks:
    def test_whole_cells(self):
        """Columns 1 and 2 of 4, row 0 of 2."""
        masks = properties.box_masks(torch.tensor([[0.25, 0, 0.5, 0.5]]), (2, 4))
        assert masks.tolist() == [[[[0, 1, 1, 0], [0, 0, 0, 0]]]]

    def test_parts_of_cells(self):
        """x from 0.5 to 2.5 of 4 cells: 1/2, 1, 1/2, 0; y from 0.5 to 1.5 of 2: 1/2, 1/2."""
        masks = properties.box_masks(torch.tensor([[0.125, 0.25, 0.5, 0.5]]), (2, 4))
        assert masks.tolist() == [[[[0.25, 0.5, 0.25, 0], [0.25, 0.5, 0.25, 0]]]]

    def test_the_whole_image(self):
        assert properties.box_masks(torch.tensor([[0.0, 0, 1, 1]]), (3, 5)).eq(1).all()

    @settings(max_examples=60, deadline=None)
    @given(st.data(), st.integers(1, 7), st.integers(1, 7))
    def test_share_of_each_cell(self, data, height, width):
        start = [data.draw(st.floats(0, 0.999)) for _ in range(2)]
        extent = [data.draw(st.floats(1e-9, 1 - s)) for s in start]
        mask = properties.box_masks(torch.tensor([[*start, *extent]], dtype=torch.float64), (height, width))[0, 0]
        assert mask.sum() > 0
        assert mask.sum().item() == pytest.approx(extent[0] * extent[1] * height * width, rel=1e-4)
        for row in range(height):
            for column in range(width):
                x = min(start[0] + extent[0], (column + 1) / width) - max(start[0], column / width)
                y = min(start[1] + extent[1], (row + 1) / height) - max(start[1], row / height)
                share = max(x, 0) * width * max(y, 0) * height
                assert mask[row, column].item() == pytest.approx(share, abs=1e-6)

    def test_a_sliver_is_not_lost(self):
        """In float32, 0.5 + 1e-9 is 0.5."""
        boxes = torch.tensor([[0.5, 0.5, 1e-9, 1e-9]])
        image = torch.rand(1, 3, 8, 8)
        values = properties.photometric_properties(image, properties.box_masks(boxes, (8, 8)))
        torch.testing.assert_close(values[0, :3], image[0, :, 4, 4])

    def test_one_for_each_box(self):
        boxes = torch.tensor([[0.0, 0, 0.5, 1], [0.5, 0, 0.5, 1]])
        assert properties.box_masks(boxes, (1, 2))[:, 0, 0].tolist() == [[1, 0], [0, 1]]


class TestBadInput:
    def test_grey_images(self):
        with pytest.raises(ValueError, match=r"images: expected shape \(batch, 3, height, width\), got \(1, 1, 4, 4\)"):
            properties.photometric_properties(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 4, 4))

    def test_masks_of_another_size(self):
        with pytest.raises(ValueError, match=r"masks: expected shape \(1, 1, 4, 4\), got \(1, 1, 2, 2\); make them"):
            properties.photometric_properties(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 2, 2))

    @pytest.mark.parametrize(
        "box",
        [[0, 0, 0, 0.5], [0.6, 0, 0.5, 1], [-0.1, 0, 0.5, 0.5], [10, 20, 100, 50], [0, 0, math.nan, 1], [0, 0, 1]],
    )
    def test_boxes(self, box):
        with pytest.raises(ValueError, match=r"boxes: expected rows of x, y, width, height as fractions of the image"):
            properties.box_masks(torch.tensor([box], dtype=torch.float32), (4, 4))
