"""The DKL colour space of the GBVS toolbox: luminance and two opponent colours of the light of one monitor.

Derrington, Krauskopf and Lennie (1984) define the space, relative to a grey background. The toolbox looks up how much
light its monitor gives for each value of red, green and blue, in a table whose source states no licence: readings at
every fifth value, with straight lines between them. Here a polynomial per colour replaces the table. It is smooth and
the readings are not; they differ by at most 0.0043 of full light.
"""

import numpy as np
from numpy.polynomial.chebyshev import chebval

LEVELS = 256  # of each colour of the monitor
LIGHT_SERIES = np.array([  # Chebyshev coefficients of the light, in the squared value of red, green and blue
    [0.52881, 0.49498, -0.04292, -0.00045, 0.02629, -0.00972, -0.00148, 0.00168],
    [0.53040, 0.50324, -0.05297, 0.00249, 0.02744, -0.00997, -0.00118, 0.00096],
    [0.55324, 0.48400, -0.05392, 0.00717, 0.02113, -0.01231, 0.00121, 0.00097],
])  # fmt: skip
LIGHT = chebval(2 * np.linspace(0, 1, LEVELS) ** 2 - 1, LIGHT_SERIES.T).T  # (256, 3), 1 is full light
LMS_OF_LIGHT = np.array([  # responses of the three cones to full red, green and blue
    [18.32535, 44.60077, 7.46216], [4.09544, 28.20135, 6.66066], [0.02114, 0.10325, 1.05258],
])  # fmt: skip
GREY = np.array([34.9185389578, 19.3147966765, 0.5856108185])  # responses of the cones to the background
SCALES = np.array([0.5774, 2.7525, 0.4526])  # of luminance, red-green and blue-yellow


def dkl(rgb: np.ndarray) -> np.ndarray:
    """Convert RGB to luminance, red-green and blue-yellow contrast with the grey background.

    Args:
        rgb: (height, width, 3), 0 to 1. As in the toolbox, the value v has the light of level ceil(255 v) of 1 to 256:
            0 and 1 / 255 have the same level, and level 256, full light, is never reached.

    Returns:
        float64 (height, width, 3).
    """
    levels = np.clip(np.ceil((LEVELS - 1) * rgb.astype(np.float64)), 1, LEVELS).astype(int)
    light = LIGHT[levels - 1, [0, 1, 2]]
    return (light @ LMS_OF_LIGHT.T - GREY) @ _dkl_of_lms().T


def _dkl_of_lms() -> np.ndarray:
    """(3, 3) contrasts of the cones combined to the three axes."""
    long, middle, short = GREY
    luminance, length = long + middle, np.hypot(long, middle)
    axes = [
        [np.sqrt(3), np.sqrt(3), 0],
        [length / long, -length / middle, 0],
        [-1, -1, luminance / short],
    ]
    return SCALES[:, None] * np.array(axes) / luminance
