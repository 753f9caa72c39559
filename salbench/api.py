"""The library in five functions: predict, score a map, open a data set, make a method, run methods on a data set.

The two that exchange data sets with pysaliency are in `salbench.converters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from salbench import DEFAULT_METHOD, datasets, registry
from salbench.checks import fixated_pixels
from salbench.converters import from_pysaliency, to_pysaliency
from salbench.datasets import Dataset
from salbench.metrics import METRICS, Pair, measure
from salbench.pictures import rgb_of
from salbench.predict_pictures import check_can_predict, density_of, map_of
from salbench.protocol import named
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample

if TYPE_CHECKING:
    import pandas

__all__ = ["evaluate", "from_pysaliency", "load_dataset", "load_method", "predict", "score", "to_pysaliency"]


def predict(
    image: Path | str | Image.Image | np.ndarray,
    method: str | SaliencyMethod = DEFAULT_METHOD,
    runtime: Runtime | None = None,
    *,
    density: bool = False,
) -> np.ndarray:
    """Predict where people look in one picture, as `salbench predict` does.

    Args:
        image: path of a picture; a PIL image; or an array, uint8 or uint16, (H, W) grey or (H, W, 3) RGB.
        method: as on the command line. For many pictures pass what `load_method` returns, which is loaded once.
        runtime: device and so on; has no effect on a method that is already loaded.
        density: return a density instead of a map.

    Returns:
        (H, W), the size of the picture: a float32 map from zero to a peak of one; or a float64 density, which sums to
        one.

    Raises:
        ValueError: an image that cannot be read or has another shape.
        MethodProblem: unknown name, or a method that cannot be loaded.
        MethodUnavailable: a package or file is missing, or the method needs fixations; says what to do.
    """
    made = load_method(method, runtime) if isinstance(method, str) else method
    check_can_predict(made)
    rgb = rgb_of(image)
    name = Path(image).stem if isinstance(image, Path | str) else "image"
    sample = Sample(name, rgb.shape[:2], lambda: rgb)
    return (density_of if density else map_of)(made.predict(sample), made.output, sample.size)


def load_dataset(name: str, root: Path | str | None = None, *, off_image: str | None = None) -> Dataset:
    """Open a data set.

    Args:
        name: as on the command line, such as "osie_test", "folder:DIR" or "folder:DIR#SPLIT".
        root: folder with one folder per data set; by default $SALBENCH_DATA, then the user's cache.
        off_image: "error" or "drop", for fixations off their image in a folder of your own; by default what its
            dataset.toml says, otherwise "error".

    Raises:
        DatasetProblem: unknown name, or files that are missing or not the published ones.
    """
    with datasets.off_image(off_image):
        return datasets.load(name, root)


def load_method(spec: str, runtime: Runtime | None = None) -> SaliencyMethod:
    """Make a method.

    Args:
        spec: as on the command line, such as "lite" or "from_folder:DIR".
        runtime: device, batch size and so on.

    Raises:
        MethodProblem: unknown name, or a method that cannot be loaded.
        MethodUnavailable: a package or file is missing; says how to get it.
    """
    return registry.create(spec, runtime)


def evaluate(
    methods: str | Sequence[str],
    dataset: str | Dataset,
    protocol: str = "tuebingen",
    out: Path | str | None = None,
    runtime: Runtime | None = None,
    *,
    root: Path | str | None = None,
    overwrite: bool = False,
) -> pandas.DataFrame:
    """Score methods on a data set, as `salbench run` does.

    Args:
        methods: one or several, as on the command line.
        dataset: a name, or a data set that is already open.
        protocol: see `salbench list protocols`.
        out: folder to keep the results in. A later call with the same folder resumes what was left unfinished. By
            default no file is kept.
        runtime: device, batch size, workers and so on.
        root: folder with one folder per data set, as for `load_dataset`.
        overwrite: replace results in `out` that were made with other settings.

    Returns:
        A row per method, and for each metric the columns mean, low, high (95 % interval) and n (images). Scores per
        image, if `out` is given: `salbench.results.load(out).scores`.

    Raises:
        ValueError: an unknown name; or a method did not run: says which and why.
    """
    from salbench import results
    from salbench.evaluation import Evaluation

    specs = [methods] if isinstance(methods, str) else methods
    for spec in specs:
        registry.find(spec.partition(":")[0])  # reports a wrong name before anything runs
    opened = datasets.load(dataset, root) if isinstance(dataset, str) else dataset
    with TemporaryDirectory() as temporary:
        place = Path(out or temporary)
        train = partial(datasets.training_split, opened, root)
        evaluation = Evaluation(opened, named(protocol), place, runtime, train=train, overwrite=overwrite)
        finished = [evaluation.run(spec) for spec in specs]
        others = [f"{other.method}: {other.reason}" for other in finished if not isinstance(other, results.Result)]
        if others:
            raise ValueError("; ".join(others))
        labels = [result.method for result in finished if isinstance(result, results.Result)]
        means = results.load(place / opened.name).means
    return means.reset_index(["dataset", "protocol"], drop=True).reindex(labels)


def score(
    prediction: ArrayLike,
    *,
    fixations: ArrayLike | None = None,
    density: ArrayLike | None = None,
    negatives: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    protocol: str = "tuebingen",
) -> dict[str, float]:
    """Score one map; no data set is needed. Metrics whose ground truth is not given are left out.

    Args:
        prediction: (H, W) saliency map of finite values.
        fixations: (N, 2) array of (x, y) in pixels from 0, or an (H, W) map of whole counts.
        density: (H, W) ground-truth density, >= 0, of any scale; for CC, KL and SIM.
        negatives: fixations on other images, in either form; for sAUC.
        baseline: (H, W) density of fixations on other images; for IG, which reads the prediction as a density.
        protocol: decides how often a pixel counts that was fixated twice, and the options of the metrics, such as the
            n - 1 of NSS. Its resizing, quantisation and blur are not applied.

    Returns:
        {metric: value}.

    Raises:
        ValueError: no ground truth, shapes that differ, NaN, or a blurred map instead of fixations.

    Example:
        >>> score(np.eye(3), fixations=np.array([[0, 0], [1, 1]]))["nss"]
        1.41...
    """
    truth = {"fixations": fixations, "density": density, "negatives": negatives, "baseline": baseline}
    given = {name: np.asarray(value) for name, value in truth.items() if value is not None}
    chosen, array = named(protocol), np.asarray(prediction)
    if chosen.binary and "fixations" in given:
        given["fixations"] = _each_pixel_once(given["fixations"], array.shape)
    pair = Pair.of(array, **given)
    scores = measure(pair, chosen.options)
    values = {name: value for name, value in scores.items() if pair.has(METRICS[name].needs)}
    if not values:
        raise ValueError(f"expected fixations or a density to score against, got {', '.join(given) or 'neither'}")
    return values


def _each_pixel_once(fixations: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Fixations as a count map in which no pixel counts more than once."""
    index, _ = fixated_pixels(fixations, shape)
    counts = np.zeros(shape)
    counts.ravel()[index] = 1
    return counts
