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
        method: a method that can edit. Its runtime names the device, says how many images are edited together, and
            whether to show progress.
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
    one_batch_at_a_time = replace(method.runtime, workers=1)  # memory holds one, and a run that is stopped loses one
    outcomes = stream(method, samples, one_batch_at_a_time, maker.edit, maker.write)
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
        """The edits of each sample with a hash of their inputs; None if an earlier run has written them.

        A batch is edited whole, also if only one of its images is missing: in another batch, rounding differs.
        """
        masks = [self.masks if self.masks in (None, SALIENCY) else Path(self.masks) / f"{s.id}.png" for s in samples]
        inputs = [_inputs(*each) for each in zip(samples, masks, strict=True)]
        done = [self.writer.done(sample.id, hash_) for sample, hash_ in zip(samples, inputs, strict=True)]
        if all(done):
            return [None] * len(samples)
        made = edit_several(self.method, samples, self.wanted, masks=masks, **self.options)
        return [None if kept else new for kept, new in zip(done, zip(made, inputs, strict=True), strict=True)]

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
    **options: Any,
) -> MadeEdits:
    """Edit one sample.

    Args:
        caption: replaces the caption of the sample.
        mask: picture of the region, or SALIENCY.
        method, sample, wanted, options: see `edit_several`.

    Raises:
        ValueError: an image or request that cannot be edited.
    """
    sample = sample if caption is None else replace(sample, caption=caption)
    (made,) = edit_several(method, [sample], wanted, masks=[mask], **options)
    return made


def edit_several(
    method: SaliencyMethod,
    samples: Sequence[Sample],
    wanted: Mapping[str, Sequence[float]],
    *,
    masks: Sequence[Path | str | None],
    color: str | None = None,
    **options: Any,
) -> list[MadeEdits]:
    """Edit samples together.

    Args:
        method, samples, wanted, options: see `SaliencyMethod.edit_batch`.
        masks: for each sample, a picture of the region, or SALIENCY.
        color: the colour's word for types that need one, or several words separated by commas. The id of a sample
            decides which of several is used.

    Raises:
        ValueError: an image or request that cannot be edited.
    """
    regions = [mask if mask is None or mask == SALIENCY else read_map(mask) for mask in masks]
    words = color.split(",") if color else [None]
    colors = [words[int(hash_bytes(sample.id), 16) % len(words)] for sample in samples]
    return method.edit_batch(samples, wanted, masks=regions, colors=colors, **options)


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
