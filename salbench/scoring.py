"""Score one prediction of one image under a protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from salbench.datasets import Dataset
from salbench.maps import quantise
from salbench.metrics import METRICS, Map, Pair, measure
from salbench.prediction import RunStopped
from salbench.protocol import Others, Prepared, Protocol, Truth
from salbench.registry import SaliencyMethod
from salbench.sample import Sample
from salbench.writing import atomic_write


@dataclass(frozen=True)
class Scorer:
    """What the scores of all images and methods share. It can be sent to another process.

    Attributes:
        dataset: name of the data set.
        protocol: every choice between a prediction and its score.
        others: the fixations of the whole split.
        save_maps: folder for the scored maps as 8-bit PNG, or None.
    """

    dataset: str
    protocol: Protocol
    others: Others
    save_maps: Path | None = None

    @classmethod
    def of(cls, dataset: Dataset, protocol: Protocol, save_maps: Path | None = None) -> "Scorer":
        """The scorer of a data set with fixations or densities."""
        others = Others(list(map(_with_fixations, dataset.split or dataset.samples)), protocol)
        return cls(dataset.name, protocol, others, save_maps)

    def score(self, method: SaliencyMethod, sample: Sample, prediction: Any) -> dict[str, Any]:
        """Score an image.

        Args:
            method: the method that predicted.
            sample: with ground truth.
            prediction: what `salbench.prediction.predict_stream` hands to `finish`.

        Returns:
            {"scores": {metric: value, None if undefined}, "fixations": number of fixations that count, "resized":
            whether the map was, "zero_share": share of its pixels that are zero}. JSON can hold it.

        Raises:
            RunStopped: the map cannot be saved.
        """
        truth = self.protocol.truth(_with_fixations(sample), self.others)
        pairs = prediction if method.sees_fixations else [(prediction, None)]
        parts, weights = [], []
        for map_, mask in pairs:  # one at a time: a ceiling has one per observer
            prepared = self.protocol.prepare(map_, method.output, sample.size)
            part = truth if mask is None else self._held_out(truth, sample, mask)
            if self.save_maps is not None and mask is None:
                _save(prepared.point_map.array, self.save_maps / self.dataset / method.label, sample)
            parts.append((self._metrics(prepared, part, method), prepared.resized, prepared.point_map.zero_share))
            weights.append(int(part.pixels[1].sum()))
        scores, resized, zero_share = zip(*parts, strict=True) if parts else ((), (), (0.0,))
        ceilings = self._noise_ceilings(sample) if method.sees_fixations and parts else {}
        return {
            "scores": _json_numbers(_mean_over_folds(scores, weights) | ceilings),
            "fixations": int(truth.pixels[1].sum()),
            "resized": any(resized),
            "zero_share": float(np.mean(zero_share)),
        }

    def _held_out(self, truth: Truth, sample: Sample, mask: np.ndarray) -> Truth:
        held_out = sample.only(mask)
        # Against the density of one observer, all scores are low, so they are no ceiling for those against all.
        return replace(truth, pixels=self.protocol.pixels(held_out), density=Map(np.zeros(truth.density.shape)))

    def _noise_ceilings(self, sample: Sample) -> dict[str, float]:
        """Values of the metrics that compare with the density and have a ceiling that follows from its noise."""
        if sample.observers is None:
            return {}
        seen = [sample.observers == observer for observer in np.unique(sample.observers)]
        densities = [self.protocol.density(sample.only(mask)) for mask in seen]
        return {name: metric.noise_ceiling(densities) for name, metric in METRICS.items() if metric.noise_ceiling}

    def _metrics(self, prepared: Prepared, truth: Truth, method: SaliencyMethod) -> dict[str, float]:
        pair = Pair(prepared.point_map, prepared.density_map, **vars(truth))
        is_density = method.output != "map" or self.protocol.maps_as_densities
        return measure(pair, self.protocol.options, is_density=is_density)


def _save(point_map: np.ndarray, folder: Path, sample: Sample) -> None:
    path = folder / f"{sample.id}.png"  # an id may hold slashes
    try:
        with atomic_write(path, "wb", durable=False) as file:  # it can be made again
            Image.fromarray(quantise(point_map)).save(file, "PNG")
    except OSError as error:
        raise RunStopped(error.errno, f"cannot save maps ({error.strerror})", str(folder)) from error


def _with_fixations(sample: Sample) -> Sample:
    """The sample itself, or one with zero fixations if only its density is known: NaN for metrics that need any."""
    return sample if sample.fixations is not None else replace(sample, fixations=np.empty((0, 2)), sigma=1.0)


def _mean_over_folds(scores: Sequence[Mapping[str, float]], weights: Sequence[int]) -> dict[str, float]:
    """Scores of the parts of an image, weighted by their fixations; NaN if there is no value."""
    if not scores:
        return dict.fromkeys(METRICS, np.nan)
    used = weights if sum(weights) else None
    return {name: float(np.average([s[name] for s in scores], weights=used)) for name in METRICS}


def _json_numbers(scores: Mapping[str, float]) -> dict[str, float | None]:
    """None instead of a number that is not finite, which JSON cannot hold."""
    return {name: value if np.isfinite(value) else None for name, value in scores.items()}
