"""Linear correlation of the prediction with the ground-truth density."""

import numpy as np

from salbench.checks import check_density, check_map


def cc(prediction, density):
    """Pearson's correlation coefficient over pixels. Higher is better.

    Args:
        prediction: (H, W) map of finite values.
        density: (H, W) ground truth, >= 0, of any scale.

    Returns:
        In [-1, 1]; 0 where either map is constant; NaN for a density of zeros (no ground truth).

    Raises:
        ValueError: NaN, different shapes, or a negative density.

    Reference: Jost et al. (2005), CVIU 100; CC.m of the MIT Saliency Benchmark.
    """
    prediction = check_map(prediction).astype(np.float64)
    density = check_density(density, prediction.shape).astype(np.float64)
    if not density.any():
        return np.nan
    if prediction.min() == prediction.max() or density.min() == density.max():
        return 0.0
    prediction -= prediction.min()  # keeps the digits of a map that varies little around a large value
    density -= density.min()
    a, b = prediction - prediction.mean(), density - density.mean()
    return float(np.vdot(a, b) / np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
