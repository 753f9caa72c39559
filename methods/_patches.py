"""What models with filters learned from patches share: the filters' file, and the products with all patches."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from salbench.files import hash_file
from salbench.maps import resize_matlab
from salbench.writing import atomic_write

from ._classical import Classical

BAND = 2048  # patches in one matrix product; more of them do not fit in a core's cache
LEVELS = np.iinfo(np.int16).max  # filters are stored as whole numbers up to this one, times a scale


class PatchModel(Classical):
    """Base of classical models that multiply every patch of an image by learned filters.

    The authors' filters have no open licence. Ours (MIT licence) are independent components of patches of the
    photographs of osie_train; see `_learn_filters`. No fixations were used.

    A filter is a row of side * side * 3 weights in MATLAB's order: down the rows first, then the columns, then R, G, B.

    Attributes:
        file: where the filters are.
        side: height and width of a patch in pixels.
        n_filters: number of filters.
        longest: images are shrunk to this longest side, in pixels.
        sees_mean: false if filters were learned from patches without their mean, and sum to zero.
    """

    output = "map"
    file: Path
    side: int
    n_filters: int
    longest: int
    sees_mean = True

    @cached_property
    def bank(self) -> dict[str, np.ndarray]:
        """Arrays in the file: `filters`, float32 (n_filters, side * side * 3), and those of `fit_responses`."""
        with np.load(self.file, allow_pickle=False) as arrays:
            bank = dict(arrays)
        bank["filters"] = bank["filters"] * bank.pop("scales")[:, None]
        return bank

    def write(self, filters: np.ndarray, **others: np.ndarray) -> None:
        """Write the file: filters (n_filters, n) with 16 bits per weight, and other arrays as float32."""
        scales = (np.abs(filters).max(axis=1) / LEVELS).astype(np.float32)
        arrays = {"filters": np.round(filters / scales[:, None]).astype(np.int16), "scales": scales}
        arrays |= {name: values.astype(np.float32) for name, values in others.items()}
        with atomic_write(self.file, "wb") as file:
            np.savez_compressed(file, **arrays)

    def weights_hash(self) -> str:
        """Hash of the file of filters, 16 hex digits."""
        return hash_file(self.file)

    def notes(self) -> list[str]:
        """What the filters were learned from."""
        return ["filters learned from the photographs of osie_train, without fixations; not the authors' filters."]

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """The float (h, w, 3) array that the filters are applied to, from a uint8 (H, W, 3) image."""
        return shrunk(image, self.longest, self.side).astype(np.float32)

    def fit_responses(self, responses: np.ndarray) -> dict[str, np.ndarray]:
        """Fit further parameters of the filters to their (n_filters, n) responses to patches; most models have none."""
        return {}


def shrunk(image: np.ndarray, longest: int, shortest: int) -> np.ndarray:
    """Shrink an image to a longest side of `longest` pixels as MATLAB does. Smaller images stay as they are.

    Args:
        image: uint8 (H, W, 3).
        longest: in pixels.
        shortest: in pixels; a side below it is enlarged.

    Returns:
        uint8 (h, w, 3).
    """
    scale = min(1.0, longest / max(image.shape[:2]))
    shape = tuple(max(shortest, round(side * scale)) for side in image.shape[:2])
    return image if shape == image.shape[:2] else as_uint8(resize_matlab(image, shape))


def as_uint8(picture: np.ndarray) -> np.ndarray:
    """Values rounded and clipped to 0..255, as MATLAB converts them."""
    return np.floor(picture + 0.5).clip(0, 255).astype(np.uint8)


def responses(image: np.ndarray, filters: np.ndarray) -> Iterator[np.ndarray]:
    """Products of filters with every patch that lies inside an image, a band of rows at a time.

    The cost grows with the number of pixels times that of filters times their size.

    Args:
        image: float (H, W, 3).
        filters: (K, side * side * 3) of the image's type, in MATLAB's order.

    Yields:
        (K, rows, W - side + 1). All bands together have H - side + 1 rows.
    """
    side = round((filters.shape[1] / 3) ** 0.5)
    windows = sliding_window_view(np.ascontiguousarray(image.transpose(2, 0, 1)), (side, side), axis=(1, 2))
    taps = windows.transpose(0, 4, 3, 1, 2)  # colour, column and row in the patch; row and column of the patch
    height, width = taps.shape[3:]
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        band = taps[..., top : top + rows, :]
        yield (filters @ band.reshape(filters.shape[1], -1)).reshape(len(filters), -1, width)


def framed(inner: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map of the patches in the middle of a (height, width) of pixels; the frame gets the map's minimum."""
    margin = [
        (before := (full - part) // 2, full - part - before) for full, part in zip(shape, inner.shape, strict=True)
    ]
    return np.pad(inner, margin, constant_values=inner.min())


def kernels_of(filters: np.ndarray) -> np.ndarray:
    """(K, side, side, 3) kernels from (K, side * side * 3) filters in MATLAB's order."""
    side = round((filters.shape[1] / 3) ** 0.5)
    return filters.reshape(-1, 3, side, side).transpose(0, 3, 2, 1)
