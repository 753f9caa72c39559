"""Make an edit set: a method edits the images of a data set, and every finished image is kept."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from salbench.datasets import Dataset
from salbench.edits import SALIENCY, MadeEdits, Writer, check_wanted
from salbench.files import hash_bytes, read_map
from salbench.maps import to_density
from salbench.prediction import RunStopped, stream
from salbench.progress import Bar
from salbench.provenance import provenance
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.sample import Sample


def make(
    method: SaliencyMethod,
    dataset: Dataset,
    folder: Path | str,
    wanted: Mapping[str, Sequence[float]],
    *,
    limit: int | None = None,
    masks: Path | str | None = None,
    constrained: bool = True,
    **options: Any,
) -> dict[str, str]:
    """Write an edit set of a data set's images, or resume one.

    An image whose edits are in the folder is edited again only if its mask, density or caption has changed.

    Args:
        method: a method that can edit. Its runtime names the device and says whether to show progress.
        dataset: the images. Their ground truth tells the method which word is the most salient.
        folder: a new folder, or an edit set begun with the same method and options.
        wanted: {type: strengths}, as from `salbench.edits.wanted`.
        limit: edit only the first `limit` images.
        masks: folder with a picture <id>.png of the region of each image; SALIENCY to edit where saliency is high; by
            default the method chooses the region by the caption.
        constrained, options: see `SaliencyMethod.edit`.

    Returns:
        {id: why this image could not be edited}. If there are any, the set is not marked as finished.

    Raises:
        EditSetProblem: the folder holds other files, or edits made with other settings.
        MethodUnavailable: something that the method needs is missing.
        ValueError: an unknown type or forbidden strength; neither captions nor masks; or `masks` is not a folder.
    """
    check_wanted(wanted)
    samples = dataset.samples[:limit]
    _check_regions(dataset.name, samples, masks)
    setup = _setup(method, dataset, wanted, masks, constrained, options)
    maker = _Maker(method, Writer(folder, setup), wanted, masks, {"constrained": constrained, **options})
    one_by_one = replace(method.runtime, workers=1, batch_size=1)
    outcomes = stream(method, samples, one_by_one, maker.edit, maker.write)
    bar = Bar("editing", len(samples), shown=method.runtime.progress)
    failures = {}
    with bar, closing(outcomes):
        for outcome in outcomes:
            if outcome.error is not None:
                failures[outcome.sample.id] = outcome.error
            bar.advance(failed=outcome.error is not None)
    if not failures:
        maker.writer.finish()
    return failures


def _check_regions(dataset: str, samples: Sequence[Sample], masks: Path | str | None) -> None:
    """Raise `ValueError` unless something says which region of an image to edit."""
    if masks is None and not any(sample.caption for sample in samples):
        raise ValueError(
            f"{dataset}: expected captions, whose words say what to edit, found none; edit where people look with "
            "--mask saliency, give masks with --mask DIR, or add your own captions as captions.csv"
        )
    if masks not in (None, SALIENCY) and not Path(masks).is_dir():
        raise ValueError(f"{masks}: expected a folder with one mask ID.png for each image")


def _setup(
    method: SaliencyMethod,
    dataset: Dataset,
    wanted: Mapping[str, Sequence[float]],
    masks: Path | str | None,
    constrained: bool,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides what the edits look like, except each image's own mask, density and caption."""
    return {
        "method": method.label,
        "code": method.code_hash(),
        "weights": method.weights_hash() if constrained else None,
        **method.setup(),
        "dataset": f"{dataset.name} {dataset.fingerprint}",
        "licence": dataset.licence,
        "edits": wanted,
        "regions": "of words" if masks is None else SALIENCY if masks == SALIENCY else "given as masks",
        "constrained": constrained,
        "device": method.runtime.device.partition(":")[0],
        **options,
        "versions": provenance()["versions"],
    }


@dataclass(frozen=True)
class _Maker:
    """What the stream does with each image: edit it, then write the edits."""

    method: SaliencyMethod
    writer: Writer
    wanted: Mapping[str, Sequence[float]]
    masks: Path | str | None
    options: Mapping[str, Any]

    def edit(self, samples: Sequence[Sample]) -> list[tuple[MadeEdits, str] | None]:
        """The edits of each sample with a hash of their inputs; None if an earlier run has written them."""
        return [self._edit(sample) for sample in samples]

    def _edit(self, sample: Sample) -> tuple[MadeEdits, str] | None:
        mask = self.masks if self.masks in (None, SALIENCY) else Path(self.masks) / f"{sample.id}.png"
        inputs = _inputs(sample, mask)
        if self.writer.done(sample.id, inputs):
            return None
        return edit_one(self.method, sample, self.wanted, mask=mask, **self.options), inputs

    def write(self, sample: Sample, made: tuple[MadeEdits, str] | None) -> None:
        """Write the edits of a sample at once, because a run may be stopped."""
        if made is None:
            return
        (edits, inputs), source = made, sample.image
        try:
            self.writer.add(
                sample.id, edits.original, dict.fromkeys(self.wanted, edits.mask), edits.edits,
                source=source, inputs=inputs, caption=edits.caption, word=edits.word, saliency=edits.saliency,
                dropped=edits.dropped,
            )  # fmt: skip
        except OSError as error:
            raise RunStopped(error.errno, f"cannot write the edit set ({error.strerror})", error.filename) from error


def _inputs(sample: Sample, mask: Path | str | None) -> str:
    """Hash of what decides on the region of a sample, except its fixations: those are in the data set's fingerprint."""
    if mask is None or mask == SALIENCY:
        region = b"" if sample.read_density is None else sample.read_density().tobytes()
    else:
        region = read_map(mask).tobytes()
    return hash_bytes(sample.caption or "", region)


def edit_one(
    method: SaliencyMethod,
    sample: Sample,
    wanted: Mapping[str, Sequence[float]],
    *,
    caption: str | None = None,
    mask: Path | str | None = None,
    color: str | None = None,
    **options: Any,
) -> MadeEdits:
    """Edit one sample.

    Args:
        method, sample, wanted, options: see `SaliencyMethod.edit`.
        color: the colour's word for types that need one, or several words separated by commas. The id of the sample
            decides which of several is used.
        caption: replaces the caption of the sample.
        mask: picture of the region, or SALIENCY.

    Raises:
        ValueError: an image or request that cannot be edited.
    """
    sample = sample if caption is None else replace(sample, caption=caption)
    region = mask if mask is None or mask == SALIENCY else read_map(mask)
    words = color.split(",") if color else [None]
    return method.edit(sample, wanted, mask=region, color=words[int(hash_bytes(sample.id), 16) % len(words)], **options)


def predicting(method: SaliencyMethod) -> Callable[[np.ndarray], np.ndarray] | None:
    """A function from an image to the density that a method predicts on it; None if the method cannot predict.

    Returns:
        A function from uint8 (H, W, 3) RGB to float64 (h, w), >= 0, that sums to one.
    """
    try:
        method.notes()
    except MethodUnavailable:
        return None

    def predict(image: np.ndarray) -> np.ndarray:
        prediction = method.predict(Sample("edited", image.shape[:2], lambda: image))
        return to_density(np.exp(prediction) if method.output == "log_density" else prediction)

    return predict
