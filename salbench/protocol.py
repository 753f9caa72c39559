"""Protocols: named, versioned bundles of every choice between a prediction and its score.

A protocol says how a map is brought to the stimulus size, whether it is quantised, which fixations count, what the
negatives of sAUC and the baseline of IG are, which options the metrics get, and how images are averaged. Results carry
its name and version. To make a variant, use `dataclasses.replace(PROTOCOLS["mit"], ...)`; a new protocol is one row of
`PROTOCOLS`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from salbench.checks import check_map, pixels_of_points
from salbench.maps import blur, density_from_fixations, quantise, resize
from salbench.sample import Sample

if TYPE_CHECKING:  # importing the metrics takes half a second, and most commands only name a protocol
    from salbench.metrics import Map

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Prepared:
    """A prediction that is ready for the metrics.

    Attributes:
        point_map: (H, W) at stimulus size, scored against fixations.
        density_map: scored against the density; the same map unless the protocol has a `density_size`.
        resized: whether the method's map had another size than the stimulus.
    """

    point_map: "Map"
    density_map: "Map"
    resized: bool


@dataclass(frozen=True)
class Truth:
    """The ground truth of one image, in the form that `metrics.Pair` takes.

    Attributes:
        pixels: (index, count) of fixated pixels; see `checks.fixated_pixels`.
        density: (H, W), or of the protocol's `density_size`; all zeros if there is no ground truth.
        negatives: int32 (H, W) count map of the fixations on all other images, laid over this image.
        baseline: (H, W), the density of those fixations, with the protocol's share of uniform density.
    """

    pixels: tuple[np.ndarray, np.ndarray]
    density: "Map"
    negatives: np.ndarray
    baseline: "Map"


@dataclass(frozen=True)
class Protocol:
    """Every choice between a prediction and its score.

    Attributes:
        name: as on the command line.
        version: goes up when any choice changes.
        summary: one line.
        interpolation: "bilinear" or "bicubic", for maps that do not have the stimulus size.
        quantised: score the 8-bit map that a challenge server would receive, not the float map.
        binary: a pixel fixated twice on an image counts once (the MIT code). Otherwise every fixation counts.
        options: {metric: keyword arguments for it}.
        density_size: (height, width) at which prediction and density are compared; None for the stimulus size.
        density_blur: (sigma, radius) in pixels of a Gaussian applied to the prediction at `density_size`.
        maps_as_densities: compute metrics that read the prediction as a probability density (IG) for every method.
            Otherwise they are NaN for methods that do not declare a density.
        averaging: "image" (every image has the same weight) or "fixation" (every fixation has).
        baseline_uniform: weight of the uniform density that is mixed into the baseline. It bounds what a single
            fixation can add to IG where no other image has fixations.
    """

    name: str
    version: int
    summary: str
    interpolation: str
    quantised: bool = False
    binary: bool = True
    options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    density_size: Size | None = None
    density_blur: tuple[float, int] | None = None
    maps_as_densities: bool = True
    averaging: str = "image"
    baseline_uniform: float = 0.0

    def prepare(self, prediction: np.ndarray, output: str, size: Size) -> Prepared:
        """Bring a method's prediction to the maps that the metrics take.

        Args:
            prediction: float (h, w) of any size.
            output: "map", "density" or "log_density" (natural logarithm, any additive constant).
            size: (height, width) of the stimulus.

        Raises:
            ValueError: as `checks.check_map`, or a density with negative values. A log density may hold minus infinity.
        """
        from salbench.metrics import Map

        given = Map(_exponentiate(prediction) if output == "log_density" else prediction)
        if output == "density" and given.low < 0:
            raise ValueError(
                f"prediction: expected a density, with values >= 0, got a minimum of {given.low:.6g}; set negative "
                "values to 0 if they are rounding errors, otherwise declare the output as map or log_density"
            )
        resized = given.shape != tuple(size)
        point_map = Map(resize(given.array, size, self.interpolation)) if resized else given
        if self.quantised:
            point_map = Map(quantise(point_map.array).astype(np.float32))
        density_map = point_map
        if self.density_size is not None:
            density_map = Map(resize(given.array, self.density_size, self.interpolation))
        if self.density_blur is not None:
            sigma, radius = self.density_blur
            density_map = Map(gaussian_filter(density_map.array, sigma, mode="mirror", radius=radius))
        return Prepared(point_map, density_map, resized)

    def counted(self, sample: Sample) -> np.ndarray:
        """The fixations of a sample that count, (N, 2) of x, y: all of them, or with `binary` one per fixated pixel."""
        if sample.fixations is None:
            raise ValueError(f"{sample.id}: expected fixations, this sample has none")
        if not self.binary:
            return sample.fixations
        index, _ = pixels_of_points(sample.fixations, sample.size)
        return np.stack([index % sample.size[1], index // sample.size[1]], axis=1).astype(np.float64)

    def pixels(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """(index, count) of the fixated pixels of a sample; see `checks.fixated_pixels`."""
        return pixels_of_points(self.counted(sample), sample.size)

    def density(self, sample: Sample) -> np.ndarray:
        """The density of a sample's fixations, float64 (H, W) or of `density_size`, whatever its data set distributes.

        Raises:
            ValueError: the sample has no sigma.
        """
        return self._at_density_size(density_from_fixations(self.counted(sample), sample.size, _sigma(sample)))

    def _at_density_size(self, density: np.ndarray) -> np.ndarray:
        return density if self.density_size is None else resize(density, self.density_size, self.interpolation)

    def truth(self, sample: Sample, others: "Others") -> Truth:
        """The ground truth of a sample. Negatives and baseline come from all other images of the split.

        Args:
            sample: with fixations, one of the samples that `others` was made of.
            others: the fixations of the whole split under this protocol.

        Raises:
            ValueError: the distributed density has another size than the image, or as `checks.check_map`.
        """
        from salbench.metrics import Map

        points, sigma = self.counted(sample), _sigma(sample)
        pixels = pixels_of_points(points, sample.size)
        own = density_from_fixations(points, sample.size, sigma)
        counts, pooled = others.maps(sample.size, sigma)
        negatives = counts.copy()
        negatives.ravel()[pixels[0]] -= pixels[1].astype(np.int32)
        density = own if sample.read_density is None else _distributed_density(sample)
        baseline = self._baseline(pooled - own)
        return Truth(pixels, Map(self._at_density_size(density), "density"), negatives, Map(baseline, "baseline"))

    def _baseline(self, density: np.ndarray) -> np.ndarray:
        np.maximum(density, 0.0, out=density)  # rounding may leave -1e-17 where nobody looked
        if self.baseline_uniform:
            uniform = density.mean()
            density *= 1 - self.baseline_uniform
            density += self.baseline_uniform * uniform
        return density


class Others:
    """All fixations of a split, laid over an image of any size: the negatives of sAUC and the baseline of IG.

    Subtracting an image's own fixations leaves those of all other images, so the cost per image does not grow with
    their number. Fixations on images of another size are rescaled to this size, as pysaliency does. The maps for the
    most frequent size are kept, so a split of one size makes them once.
    """

    def __init__(self, samples: Sequence[Sample], protocol: Protocol) -> None:
        parts = [(protocol.counted(s), s.size) for s in samples]
        self._points = np.concatenate([points for points, _ in parts])
        self._sizes = np.concatenate([np.tile(size, (len(points), 1)) for points, size in parts])
        self._usual_size = Counter(size for _, size in parts).most_common(1)[0][0]
        self._kept: tuple[float, tuple[np.ndarray, np.ndarray]] | None = None  # sigma and maps of that size

    def maps(self, size: Size, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Counts and density of the whole split's fixations on an image of `size`.

        Args:
            size: (height, width) in pixels.
            sigma: standard deviation of the blur in pixels.

        Returns:
            (counts, density): int32 map of fixations per pixel, and the same blurred, float64. Both are shared, so
            do not write to them.
        """
        if size != self._usual_size:
            return self._made(size, sigma)
        kept = self._kept
        if kept is None or kept[0] != sigma:
            self._kept = kept = sigma, self._made(size, sigma)
        return kept[1]

    def _made(self, size: Size, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        height, width = size
        scaled = self._points * ([width, height] / self._sizes[:, ::-1])
        # rounding can move a point at the border off the image
        columns, rows = np.minimum(scaled.astype(np.int64), [width - 1, height - 1]).T
        counts = np.bincount(rows * width + columns, minlength=height * width).astype(np.int32).reshape(size)
        return counts, blur(counts, sigma)


def _exponentiate(log_density: np.ndarray) -> np.ndarray:
    array = np.asarray(log_density, dtype=np.float64)
    if array.ndim != 2 or array.size == 0 or np.isnan(array).any() or not np.isfinite(array.max()):
        if array.ndim == 2 and array.size and np.isneginf(array.max()):
            raise ValueError("prediction: expected a log density with at least one finite value, got only -inf")
        check_map(np.where(np.isneginf(array), 0.0, array), "prediction (log density)")
    with np.errstate(under="ignore"):
        return np.exp(array - array.max())


def _sigma(sample: Sample) -> float:
    if sample.sigma is None:
        raise ValueError(f"{sample.id}: expected sigma, the blur of its density in pixels")
    return sample.sigma


def _distributed_density(sample: Sample) -> np.ndarray:
    assert sample.read_density is not None
    density = sample.read_density()
    if density.shape != tuple(sample.size):
        raise ValueError(f"{sample.id}: expected a ground-truth map of {sample.size}, got {density.shape}")
    return density


_MIT_OPTIONS: dict[str, dict[str, object]] = {"auc_judd": {"jitter": True}, "nss": {"ddof": 1}, "sauc": {"step": 0.1}}

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "tuebingen",
            2,
            "pysaliency's choices: float maps, every fixation counts, exact AUCs, IG for densities only",
            interpolation="bilinear",
            binary=False,
            options={
                "auc_judd": {"jitter": False},
                "kl": {"eps": 2.2204e-16},
                "sim": {"floor": None},
                "ig": {"floor": None},
            },
            maps_as_densities=False,
            baseline_uniform=0.01,
        ),
        Protocol(
            "mit",
            2,
            "the MIT300-era MATLAB code: float maps, binary fixation maps, n - 1 in NSS, min-max in SIM and IG",
            interpolation="bicubic",
            options=_MIT_OPTIONS,
        ),
        Protocol(
            "lsun17",
            2,
            "the SALICON challenge of LSUN 2017: the MIT metrics on maps quantised to 8 bit",
            interpolation="bicubic",
            quantised=True,
            options=_MIT_OPTIONS,
        ),
        Protocol(
            "augsal",
            2,
            "the paper's validation code: CC, KL and SIM at 256 x 256 after a small blur, the others at stimulus size",
            interpolation="bilinear",
            options=_MIT_OPTIONS,
            density_size=(256, 256),
            density_blur=(2.0, 5),
        ),
    )
}


def named(name: str) -> Protocol:
    """A protocol by name.

    Raises:
        ValueError: there is no such protocol; lists those there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(PROTOCOLS)}, got {name!r}")
    return PROTOCOLS[name]
