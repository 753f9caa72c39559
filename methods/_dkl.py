"""The DKL colour space of the GBVS toolbox: luminance and two opponent colours of the light of one monitor.

Derrington, Krauskopf and Lennie (1984) define the space, relative to a grey background. The readings of the monitor and
the responses of the cones are those that the toolbox uses (Harel 2006 to 2010).
"""

import numpy as np

LEVELS = 256  # of each colour of the monitor
READINGS = {  # light of the monitor at every fifth level, as a share of full light
    "red": [
        0.024935, 0.02513, 0.025649, 0.026136, 0.026623, 0.027597, 0.028896, 0.029935, 0.031623, 0.034286, 0.037662,
        0.042468, 0.049416, 0.058442, 0.068182, 0.07987, 0.091558, 0.1039, 0.11883, 0.13506, 0.15325, 0.17338,
        0.19675, 0.22078, 0.2474, 0.27532, 0.30649, 0.33701, 0.36818, 0.3987, 0.42987, 0.46169, 0.49286, 0.51883,
        0.54675, 0.57208, 0.59545, 0.62143, 0.64351, 0.66883, 0.68831, 0.70779, 0.72727, 0.75325, 0.77273, 0.7987,
        0.83117, 0.85714, 0.88961, 0.92208, 0.95455, 1,
    ],
    "green": [
        0.007695, 0.007916, 0.008297, 0.008898, 0.009699, 0.010802, 0.011764, 0.013287, 0.01517, 0.017856, 0.022044,
        0.028056, 0.036072, 0.046493, 0.057715, 0.069739, 0.082766, 0.096994, 0.11343, 0.13106, 0.1507, 0.17315,
        0.19719, 0.22244, 0.2505, 0.28056, 0.31263, 0.34469, 0.37675, 0.40882, 0.44088, 0.47094, 0.501, 0.53106,
        0.55912, 0.58517, 0.60922, 0.63327, 0.65731, 0.67735, 0.69739, 0.72144, 0.73948, 0.75952, 0.78156, 0.80762,
        0.83367, 0.85972, 0.89178, 0.92585, 0.96192, 1,
    ],
    "blue": [
        0.042291, 0.042566, 0.042841, 0.043392, 0.043943, 0.044934, 0.046366, 0.047797, 0.050441, 0.053414,
        0.058811, 0.064978, 0.074119, 0.085903, 0.096366, 0.10914, 0.12225, 0.13767, 0.15529, 0.17401, 0.19493,
        0.21806, 0.24229, 0.26872, 0.29626, 0.32599, 0.35793, 0.38767, 0.4174, 0.44604, 0.47577, 0.5033, 0.52863,
        0.55507, 0.57819, 0.60242, 0.62225, 0.64648, 0.6685, 0.68943, 0.71035, 0.72907, 0.7511, 0.77093, 0.79626,
        0.82159, 0.84802, 0.87225, 0.90198, 0.93943, 0.96696, 1,
    ],
}  # fmt: skip
LIGHT = np.stack([np.interp(range(LEVELS), range(0, LEVELS, 5), of_colour) for of_colour in READINGS.values()], axis=1)
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
