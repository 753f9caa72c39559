"""OpenCV's 5 x 5 Gaussian: as OpenCV 5.0 computed it."""

import importlib

import numpy as np
import pytest

from salbench import registry

IMAGE = [
    [217, 163, 130, 69, 78, 10],
    [19, 4, 44, 208, 166, 233],
    [128, 155, 248, 186, 161, 139],
    [143, 239, 71, 208, 171, 0],
]
BLURRED = [
    [94.0469, 97.8203, 112.0156, 129.7109, 136.9609, 136.9375],
    [101.6797, 107.9883, 125.7148, 142.9297, 146.7109, 144.6953],
    [128.8203, 136.418, 153.4766, 163.5195, 156.2383, 148.375],
    [148.3281, 154.6797, 167.5391, 170.8906, 156.0156, 144.2969],
]
ROW = [[179.125, 162.375, 125.1875, 88.6875, 62.0, 51.375]]  # of the first row alone


@pytest.mark.parametrize(("image", "expected"), [(IMAGE, BLURRED), (IMAGE[:1], ROW), ([[7]], [[7]])])
def test_as_opencv(image, expected):
    package = registry.get("uniform").__module__.rpartition(".")[0]
    blurred = importlib.import_module(f"{package}._opencv_blur").blurred
    np.testing.assert_allclose(blurred(np.float32(image)), expected, rtol=0, atol=1e-4)
