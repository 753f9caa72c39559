"""Spectral residual: the part of the log amplitude spectrum that differs from its local average."""

import numpy as np
from scipy.fft import fft2, ifft2
from scipy.ndimage import correlate1d, gaussian_filter, uniform_filter

from salbench.maps import resize
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._matlab import gaussian
from ._opencv import sampled_grey
from ._spectral import phase, small, smallest_amplitude, toolbox_map, ycbcr

LONG_SIDE = 64  # pixels; the scale that the paper uses
MEAN_SIZE = 3  # side of the paper's averaging filter h_n
SIGMA = 2.5  # of the final smoothing, in pixels at LONG_SIDE
OPENCV_SIDE = 64  # pixels; OpenCV resizes every image to a square
OPENCV_KERNEL = gaussian(5, 8)  # OpenCV's final smoothing; taps and sigma in pixels of the square


def paper(image: np.ndarray) -> np.ndarray:
    """Equations 9 to 13 of the paper on the grey image, resized to a long side of 64 pixels."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    shape = tuple(max(MEAN_SIZE, round(side * scale)) for side in (height, width))
    # NumPy 1.26 transforms float32 with 64 bits, NumPy 2 and SciPy with 32. With these, smaller coefficients of a flat
    # display than with 64 are nothing but rounding errors, and their logarithms count as much as any other.
    grey = resize(image @ np.full(3, 1 / 3, np.float32), shape).astype(np.float64)
    return gaussian_filter(residual_picture(grey[..., None], border="wrap")[..., 0] ** 2, SIGMA)


def toolbox(image: np.ndarray) -> np.ndarray:
    """Each channel of YCbCr by itself, on an image 64 pixels wide."""
    return toolbox_map(residual_picture(ycbcr(small(image)), border="nearest") ** 2)


def opencv(image: np.ndarray) -> np.ndarray:
    """The grey image, stretched to 64 x 64 pixels by sampling it without antialiasing; smoothed, then squared."""
    salient = residual_picture(sampled_grey(image, OPENCV_SIDE)[..., None], border="mirror")[..., 0]
    for axis in (0, 1):
        salient = correlate1d(salient, OPENCV_KERNEL, axis, mode="mirror")
    return salient**2


def residual_picture(channels: np.ndarray, border: str) -> np.ndarray:
    """Absolute value of the image that has the spectral residual for amplitude, and the channel's own phase.

    Args:
        channels: (height, width, channels).
        border: how scipy.ndimage continues the log amplitude, which has frequency 0 in its corner.
    """
    spectrum = fft2(channels, axes=(0, 1))
    amplitude = np.abs(spectrum)
    log_amplitude = np.log(np.maximum(amplitude, smallest_amplitude(amplitude)))
    residual = log_amplitude - uniform_filter(log_amplitude, (MEAN_SIZE, MEAN_SIZE, 1), mode=border)
    return np.abs(ifft2(np.exp(residual) * phase(spectrum), axes=(0, 1)))


VARIANTS = {"paper": paper, "toolbox": toolbox, "opencv": opencv}


@register
class SpectralResidual(Classical):
    """Classical, no training: unexpected parts of the image's amplitude spectrum (Hou and Zhang 2007).

    Variants:
        paper: as in the paper, on the mean of R, G and B; the default.
        toolbox: in each channel of YCbCr, as in the toolbox of Schauerte and Stiefelhagen (2012).
        opencv: as in OpenCV's StaticSaliencySpectralResidual, up to scale.

    The spectrum is periodic, and `paper` averages the log amplitude across its borders. `toolbox` repeats the edge
    instead, and `opencv` mirrors it. A coefficient that is only a rounding error becomes 0.

    Most of the time is that of the resize, which grows with the number of pixels; opencv reads only four pixels for
    each of 64 x 64 samples.
    """

    output = "map"
    paper = "Hou, Zhang (2007), Saliency Detection: A Spectral Residual Approach, CVPR"
    options = tuple(VARIANTS)

    def predict(self, sample: Sample) -> np.ndarray:
        """Saliency, >= 0, of an image with a long side of 64 pixels (toolbox: a width; opencv: both sides)."""
        return VARIANTS[self.option](sample.image)
