"""`Geometry`: an affine map that moves an image together with its density, points and boxes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

_TOLERANCE = 1e-6  # pixels; rounding may push a point on the border this far off the canvas
_LEAST_SHARE = 0.25  # a moved box is dropped if no more than this share of its area is on the canvas


@dataclass(frozen=True, eq=False)
class Geometry:
    """An affine map from pixels of an output canvas to pixels of the input image.

    Flips, quarter turns and crops only exchange, reverse and shift whole pixels; they are done by indexing and lose
    nothing. All other maps sample bilinearly, with antialiasing if they shrink.

    Attributes:
        size: (height, width) of the output canvas in pixels.
        matrix: float (2, 3); (x_in, y_in) = matrix @ (x_out, y_out, 1), in pixels, where pixel i covers [i, i + 1)
            as in `salbench.sample`.
        fill: grey level 0..255 of the canvas that the image does not cover.

    Raises:
        ValueError: an empty canvas, or a matrix that is not (2, 3), not finite or not invertible.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    fill: int = 0

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
            raise ValueError(f"geometry: expected an invertible (2, 3) matrix, got {matrix.tolist()}")
        if min(self.size) < 1:
            raise ValueError(f"geometry: expected a canvas of at least one pixel, got (height, width) {self.size}")
        object.__setattr__(self, "matrix", matrix)

    @property
    def lossless(self) -> bool:
        """True if every output pixel is either one whole input pixel or fill."""
        linear = np.abs(self.matrix[:, :2])
        permutes = np.isin(linear, (0, 1)).all() and (linear.sum(0) == 1).all() and (linear.sum(1) == 1).all()
        return bool(permutes and (self.matrix[:, 2] == np.rint(self.matrix[:, 2])).all())

    def image(self, image: np.ndarray) -> np.ndarray:
        """Move an image, uint8 (h, w, 3), onto the canvas; returns uint8 (height, width, 3)."""
        return self._index(image, self.fill) if self.lossless else self._sample(image, (self.fill,) * 3)

    def density(self, density: np.ndarray) -> np.ndarray:
        """Move a density, float (h, w), >= 0, onto the canvas; returns float (height, width), >= 0. The fill is zero.

        Values are copied or interpolated, so the sum changes if the map is stretched or leaves the canvas.
        """
        return self._index(density, 0) if self.lossless else self._sample(density.astype(np.float32), 0)

    def points(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move points, float (N, 2) of x, y in pixels.

        A lossless geometry moves each point into the pixel that the image's pixel moves to. Whole numbers stand for
        their pixel and stay whole: a horizontal flip moves x = 3 to width - 4 and x = 3.2 to width - 3.2, both in
        pixel width - 4.

        Returns:
            (moved, kept): float (N, 2) moved points, and bool (N,), whether each is on the canvas. Points that
            rounding pushed off the canvas are put back on its border.
        """
        if self.lossless:
            moved = self._move_within_pixels(points)
        else:
            moved = self._forward(points)
            limits = np.nextafter(self.size[::-1], 0.0)
            held = np.clip(moved, 0.0, limits)
            moved = np.where(np.abs(held - moved) < _TOLERANCE, held, moved)
        return moved, ((moved >= 0) & (moved < self.size[::-1])).all(axis=1)

    def boxes(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move boxes, float (K, 4) of x, y, width, height in pixels.

        Returns:
            (moved, kept): float (K, 4), the upright boxes around the moved corners, cut at the border of the canvas;
            and bool (K,), whether more than a quarter of each box's area remains.
        """
        corners = boxes[:, None, :2] + boxes[:, None, 2:] * [(0, 0), (1, 0), (0, 1), (1, 1)]
        corners = self._forward(corners.reshape(-1, 2)).reshape(-1, 4, 2)
        whole = corners.min(1), corners.max(1)
        low, high = (np.clip(edge, 0.0, self.size[::-1]) for edge in whole)
        area, whole_area = (high - low).prod(1), (whole[1] - whole[0]).prod(1)
        return np.concatenate([low, high - low], axis=1), area > _LEAST_SHARE * whole_area

    def _forward(self, points):
        return (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T

    def _axes(self):
        """Yield (input axis, sign, offset) for output x, then y: in = sign * out + offset. Axis 0 is x."""
        for column in (0, 1):
            axis = int(np.flatnonzero(self.matrix[:, column])[0])
            yield axis, int(self.matrix[axis, column]), int(self.matrix[axis, 2])

    def _index(self, array, fill):
        (x_axis, *along_x), (y_axis, *along_y) = self._axes()
        source = array.swapaxes(0, 1) if x_axis > y_axis else array
        canvas_slices, source_slices = [], []
        for axis, (sign, offset) in enumerate((along_y, along_x)):
            length, old = self.size[axis], source.shape[axis]
            start = offset if sign > 0 else old - offset  # where the canvas starts in the (reversed) source
            first, stop = max(0, -start), max(0, min(length, old - start))
            canvas_slices.append(slice(first, stop))
            source_slices.append(slice(first + start, max(0, stop + start)))
            source = source if sign > 0 else np.flip(source, axis)
        piece = source[tuple(source_slices)]
        if piece.shape[:2] == tuple(self.size):
            return piece.copy(order="C")
        canvas = np.full((*self.size, *array.shape[2:]), fill, dtype=array.dtype)
        canvas[tuple(canvas_slices)] = piece
        return canvas

    def _move_within_pixels(self, points):
        pixel = np.floor(points)
        part = points - pixel
        moved = np.empty_like(points)
        for column, (axis, sign, offset) in enumerate(self._axes()):
            if sign > 0:
                new, inside = pixel[:, axis] - offset, part[:, axis]
            else:
                new, inside = offset - 1 - pixel[:, axis], np.where(part[:, axis] > 0, 1 - part[:, axis], 0.0)
            moved[:, column] = np.minimum(
                new + inside, np.nextafter(new + 1, -np.inf)
            )  # rounding may reach the next pixel
        return moved

    def _sample(self, array, fill):
        height, width = self.size
        # Bilinear sampling sees only 2 x 2 input pixels. To shrink without aliasing, sample a finer canvas and average.
        finer = np.maximum(1, np.rint(np.hypot(*self.matrix[:, :2]))).astype(int)
        matrix = self.matrix / [*finer, 1]
        warped = Image.fromarray(np.ascontiguousarray(array)).transform(
            (int(width * finer[0]), int(height * finer[1])),
            Image.Transform.AFFINE,
            matrix.ravel().tolist(),
            Image.Resampling.BILINEAR,
            fillcolor=fill,
        )
        return np.asarray(warped if finer.max() == 1 else warped.reduce(tuple(finer.tolist())))
