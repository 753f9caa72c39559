"""Spectral residual: the part of the log amplitude spectrum that its own average does not explain."""

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from salbench.maps import resize
from salbench.registry import SaliencyMethod, register

LONG_SIDE = 64  # pixels; the scale at which the paper looks at an image
MEAN_SIZE = 3  # the paper's averaging filter h_n
SIGMA = 2.5  # pixels at LONG_SIDE, of the final smoothing


@register
class SpectralResidual(SaliencyMethod):
    """Classical, no weights: what is unexpected in the amplitude spectrum of the image."""

    output = "map"
    paper = "Hou, Zhang (2007), Saliency Detection: A Spectral Residual Approach, CVPR"

    def predict(self, sample):
        """Equations 9 to 13 of the paper on the grey image, 64 pixels on its long side."""
        scale = LONG_SIDE / max(sample.size)
        shape = tuple(max(MEAN_SIZE, round(side * scale)) for side in sample.size)
        spectrum = np.fft.fft2(resize(sample.image @ np.full(3, 1 / 3, np.float32), shape))
        log_amplitude = np.log(np.abs(spectrum) + 1e-9)
        residual = log_amplitude - uniform_filter(log_amplitude, MEAN_SIZE, mode="wrap")
        salient = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        return gaussian_filter(salient, SIGMA)
