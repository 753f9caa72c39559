"""The photometric augmentations, which change pixel values.

Each function takes a uint8 (height, width, 3) RGB image, a NumPy random generator and its parameters, and returns a new
uint8 array of the same shape. Intensity means the value of a channel divided by 255, so 0..1.
"""

import io

import numpy as np
from PIL import Image, ImageEnhance
from scipy import ndimage
from scipy.special import ndtri


def jpeg(image: np.ndarray, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """Encode as JPEG and decode again. Quality is libjpeg's, 1 to 100; libjpeg uses 1 for 0."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded.convert("RGB"))


def motion_blur(image: np.ndarray, rng: np.random.Generator, *, length_px: int, angle_deg: int) -> np.ndarray:
    """Average over a line of `length_px` pixels, horizontal (0 degrees) or vertical (90). Borders are replicated.

    Raises:
        ValueError: any other angle.
    """
    if angle_deg not in (0, 90):
        raise ValueError(f"angle_deg: expected 0 (horizontal) or 90 (vertical), got {angle_deg}")
    axis = 1 if angle_deg == 0 else 0
    mean = ndimage.uniform_filter1d(image, length_px, axis=axis, mode="nearest", output=np.float32)
    mean += 0.5  # rounds, because the cast truncates
    return mean.astype(np.uint8)


def color_jitter(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    saturation: tuple[float, float],
    gain: tuple[float, float],
    gamma: tuple[float, float],
) -> np.ndarray:
    """Draw saturation, channel gains and gamma at random, as if another camera or light had been used.

    Args:
        saturation: (low, high) factor; 0 gives grey, 1 no change.
        gain: (low, high) factor of each channel's intensity.
        gamma: (low, high) exponent of the intensity.
    """
    colours = ImageEnhance.Color(Image.fromarray(image)).enhance(rng.uniform(*saturation))
    levels = np.linspace(0, 1, 256) * rng.uniform(*gain, (3, 1))
    table = np.rint(255 * np.clip(levels, 0, 1) ** rng.uniform(*gamma)).astype(int)
    return np.asarray(colours.point(table.ravel().tolist()))


def invert(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace every value v by 255 - v."""
    return 255 - image


def noise(image: np.ndarray, rng: np.random.Generator, *, variance: float) -> np.ndarray:
    """Add Gaussian noise of mean 0 and `variance` (in intensity), independent for each pixel and channel; then clip."""
    # Inverse transform sampling from 16-bit uniform numbers: fine enough for whole grey levels, and four times faster.
    quantiles = ndtri((np.arange(65536) + 0.5) / 65536)
    levels = np.rint(np.clip(255 * np.sqrt(variance) * quantiles, -255, 255)).astype(np.int16)
    noisy = levels[rng.integers(0, 65536, image.shape, dtype=np.uint16)]
    noisy += image
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def contrast(
    image: np.ndarray,
    rng: np.random.Generator,
    *,
    input_range: tuple[float, float],
    output_range: tuple[float, float],
) -> np.ndarray:
    """Map intensities linearly from `input_range` to `output_range`, both (low, high), and clip to the latter."""
    (low, high), (new_low, new_high) = input_range, output_range
    share = np.clip((np.arange(256) / 255 - low) / (high - low), 0, 1)
    levels = np.rint(255 * (new_low + share * (new_high - new_low))).astype(np.uint8)
    return np.take(levels, image)


def canny(image: np.ndarray, rng: np.random.Generator, *, threshold: float, sigma_px: float) -> np.ndarray:
    """Draw white Canny edges on black. The upper threshold is `threshold` times the strongest gradient.

    The lower threshold is 0.4 times the upper one.
    """
    from skimage.feature import canny as edges_of  # imported here because it takes a second

    grey = (image @ np.array([0.299, 0.587, 0.114])) / 255  # ITU-R BT.601 luma
    smooth = ndimage.gaussian_filter(grey, sigma_px, mode="constant")
    strongest = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1)).max()
    edges = edges_of(grey, sigma_px, 0.4 * threshold * strongest, threshold * strongest)
    return np.repeat(np.where(edges, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
