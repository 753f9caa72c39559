"""A method's densities at several input scales, kept on disk until the adaptation is complete."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from salbench.adaptation.model import grid
from salbench.maps import to_density
from salbench.prediction import RunStopped, predict_stream
from salbench.progress import Bar
from salbench.protocol import Protocol
from salbench.registry import SaliencyMethod
from salbench.sample import Sample
from salbench.writing import atomic_write


class AdaptationProblem(ValueError):
    """An adaptation that cannot be made or continued. Says what to do."""


@dataclass(frozen=True)
class Predictions:
    """The densities of one method on one data set.

    Attributes:
        folder: holds a file for each scale and image: the density on the grid of the image.
        protocol: brings predictions to the grid, and so says how a map is read as a density.
    """

    folder: Path
    protocol: Protocol

    def make(self, method: SaliencyMethod, samples: Sequence[Sample], scales: Sequence[float]) -> None:
        """Predict what is missing.

        Args:
            method: ready to predict.
            samples: images with sigma.
            scales: factors by which images are resized before the prediction.

        Raises:
            AdaptationProblem: images failed.
            MethodUnavailable, WeightsProblem, OSError: see `prediction.predict_stream`.
        """
        for scale in scales:
            originals = {sample.id: sample for sample in samples}
            todo = [scaled(s, scale) for s in samples if not self._path(s.id, scale).exists()]
            keep = partial(self._keep, method, originals, scale)
            name = f"{method.label}, input x {scale:g}"
            bar = Bar(name, len(samples), done=len(samples) - len(todo), shown=method.runtime.progress)
            failed = {}
            with bar, closing(predict_stream(method, todo, method.runtime, keep)) as outcomes:
                for outcome in outcomes:
                    bar.advance(failed=outcome.error is not None)
                    if outcome.error is not None:
                        failed[outcome.sample.id] = outcome.error
            if failed:
                id, reason = next(iter(failed.items()))
                raise AdaptationProblem(f"{method.label}: {len(failed)} images failed, such as {id}: {reason}")

    def read(self, id: str, scale: float) -> np.ndarray:
        """The density of an image, float32 on its grid, summing to one."""
        return np.load(self._path(id, scale), allow_pickle=False)

    def _keep(
        self, method: SaliencyMethod, originals: dict[str, Sample], scale: float, sample: Sample, prediction: np.ndarray
    ) -> None:
        original = originals[sample.id]
        assert original.sigma is not None
        shape = grid(original.size, original.sigma)
        density = to_density(self.protocol.prepare(prediction, method.output, shape).point_map.array)
        try:
            with atomic_write(self._path(sample.id, scale), "wb") as file:
                np.save(file, density.astype(np.float32))
        except OSError as error:
            raise RunStopped(error.errno, f"cannot keep predictions ({error.strerror})", error.filename) from error

    def _path(self, id: str, scale: float) -> Path:
        return self.folder / f"{scale:g}" / f"{id}.npy"


def scaled(sample: Sample, scale: float) -> Sample:
    """A blind sample whose image is resized by a factor, with Pillow's antialiased bilinear filter."""
    if scale == 1:
        return sample.blind()
    height, width = (max(1, round(length * scale)) for length in sample.size)

    def read_image() -> np.ndarray:
        image = Image.fromarray(sample.image)
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))

    return replace(sample.blind(), size=(height, width), read_image=read_image)
