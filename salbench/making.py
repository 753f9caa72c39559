"""Make an edit set: a method edits every image of a data set, and what is finished is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from salbench.edits import SALIENCY, Writer
from salbench.files import hash_bytes, read_map
from salbench.maps import to_density
from salbench.registry import MethodUnavailable, explained
from salbench.results import provenance
from salbench.sample import Sample


def make(method, dataset, folder, wanted, *, limit=None, masks=None, progress=True, constrained=True, **options):
    """Write the edits of a data set's images.

    Those that are in the folder already are made again only where a mask, density or caption is another one now.

    Args:
        method: one with `edit`, its device and backbone set.
        dataset: a `Dataset`; its ground truth says which word is the most salient.
        folder: of the edit set: new, or begun with the same method and options.
        wanted: {type: list of strengths}.
        limit: only the first so many images; None: all.
        masks: folder with one picture <id>.png for each image, the region to edit; SALIENCY: where saliency is high;
            None: the method chooses.
        progress: whether to draw a bar.
        constrained, options: see `SaliencyMethod.edit`.

    Returns:
        {id: why the image could not be edited}. With some, the set is not marked as finished.

    Raises:
        EditSetProblem: the folder holds edits made otherwise, or something else.
        MethodUnavailable: what the method needs is missing.
        ValueError: neither captions nor masks, or masks that are no folder.
    """
    setup = {
        "method": method.label,
        "code": method.code_hash(),
        "weights": method.weights_hash() if constrained else None,
        **method.setup(),
        "dataset": f"{dataset.name} {dataset.fingerprint}",
        "licence": dataset.licence,
        "edits": wanted,
        "regions": "of words" if masks is None else SALIENCY if masks == SALIENCY else "given as masks",
        "constrained": constrained,
        "device": method.device.partition(":")[0],
        **options,
        "versions": provenance()["versions"],
    }
    samples = dataset.samples[:limit]
    if masks is None and not any(sample.caption for sample in samples):
        raise ValueError(
            f"{dataset.name}: expected captions, whose words say what to edit, it has none; "
            "give --mask saliency for where people look, or --mask DIR (captions of your own go into captions.csv)"
        )
    if masks not in (None, SALIENCY) and not Path(masks).is_dir():
        raise ValueError(
            f"{masks}: expected a folder with a mask ID.png for each image; a file is the mask of one image"
        )
    writer, failures = Writer(folder, setup), {}
    for sample in tqdm(samples, "editing", unit="image", disable=not progress):
        file = masks if masks in (None, SALIENCY) else Path(masks) / f"{sample.id}.png"
        try:
            inputs = _inputs(sample, file)
            if writer.done(sample.id, inputs):
                continue
            made = edit_one(method, sample, wanted, mask=file, constrained=constrained, **options)
        except ValueError as error:
            failures[sample.id] = explained(error, method)
        else:
            regions = dict.fromkeys(wanted, made.mask)
            facts = {"caption": made.caption, "word": made.word, "saliency": made.saliency, "dropped": made.dropped}
            writer.add(sample.id, made.original, regions, made.edits, source=sample.image, inputs=inputs, **facts)
    if not failures:
        writer.finish()
    return failures


def _inputs(sample, mask):
    """A hash of what decides on a sample's region beside its fixations, which the data set's fingerprint covers.

    Raises:
        FileProblem: a mask or density that cannot be read.
    """
    if mask in (None, SALIENCY):
        chosen = b"" if sample.read_density is None else sample.read_density().tobytes()
    else:
        chosen = read_map(mask).tobytes()
    return hash_bytes(sample.caption or "", chosen)


def edit_one(method, sample, wanted, *, caption=None, mask=None, **options):
    """Edit one sample: `SaliencyMethod.edit`, with a caption in place of its own, and a mask, SALIENCY, or its file."""
    sample = sample if caption is None else replace(sample, caption=caption)
    mask = mask if mask is None else SALIENCY if mask == SALIENCY else read_map(mask)
    return method.edit(sample, wanted, mask=mask, **options)


def predicting(method):
    """A function from an image, uint8 (H, W, 3), to the density (h, w) that a method predicts on it, summing to one.

    None where the method cannot predict, as it has no weights.
    """
    try:
        method.notes()
    except MethodUnavailable:
        return None

    def predict(image):
        prediction = method.predict(Sample("edited", image.shape[:2], lambda: image))
        return to_density(np.exp(prediction) if method.output == "log_density" else prediction)

    return predict
