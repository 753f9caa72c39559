"""Spectral residual: the part of the log amplitude spectrum that differs from its local average."""

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from salbench.maps import resize
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical

LONG_SIDE = 64  # pixels; the scale that the paper uses
MEAN_SIZE = 3  # side of the paper's averaging filter h_n
SIGMA = 2.5  # of the final smoothing, in pixels at LONG_SIDE


@register
class SpectralResidual(Classical):
    """Classical, no training: unexpected parts of the image's amplitude spectrum (Hou and Zhang 2007)."""

    output = "map"
    paper = "Hou, Zhang (2007), Saliency Detection: A Spectral Residual Approach, CVPR"

    def predict(self, sample: Sample) -> np.ndarray:
        """Equations 9 to 13 of the paper on the grey image, resized to a long side of 64 pixels."""
        scale = LONG_SIDE / max(sample.size)
        shape = tuple(max(MEAN_SIZE, round(side * scale)) for side in sample.size)
        spectrum = np.fft.fft2(resize(sample.image @ np.full(3, 1 / 3, np.float32), shape))
        log_amplitude = np.log(np.abs(spectrum) + 1e-9)
        residual = log_amplitude - uniform_filter(log_amplitude, MEAN_SIZE, mode="wrap")
        salient = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        return gaussian_filter(salient, SIGMA)
