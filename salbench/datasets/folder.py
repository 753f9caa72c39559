"""Your own images and fixations: folder:DIR, folder:LABEL=DIR to label the results, folder:DIR#SPLIT for one split.

Layout (only the images are required)::

    DIR/images/*.jpg, *.png, ...        or DIR/*.jpg, *.png, ...; ids are the stems; sizes may differ
    DIR/fixations.csv                   columns image, x, y, and perhaps observer, duration, index; image is a file name
                                        or stem
    DIR/fixations/<stem>.csv            the same without image
    DIR/fixations/<stem>.npy            N x 2 or N x 3: x, y[, observer]; or a map of counts, height x width
    DIR/fixations/<stem>.mat            one numeric variable, N x 2, N x 3 or a map of counts; or SALICON's gaze
    DIR/fixations/<stem>.png, .jpg      a fixation map: black, with a white pixel where somebody looked
    DIR/maps/<stem>.png, .jpg, .npy     one density per image to score against; otherwise made from the fixations
    DIR/captions.csv                    header image,caption; one sentence per image, for methods that read captions
    DIR/dataset.toml                    describes any other layout, and names licence, citation, sigma and splits

Give fixations.csv or the folder fixations/, not both. Without fixations, maps are scored by the metrics that compare
densities. Without either, methods can predict but are not scored. The layouts in which SALICON, MIT1003 and others are
passed on are recognised.

x comes first. In .csv and .npy files pixels count from 0, and pixel i covers [i, i + 1). In .mat files pixels count
from 1, as in MATLAB, and 1 is subtracted. Observers are any text in .csv files and whole numbers elsewhere. Durations
are in milliseconds. A .csv may have commas, semicolons or tabs, decimal points or commas, and the column names of
EyeLink, Tobii, SMI, Gazepoint or pymovements. Lost samples (NaN or empty) are left out; fixations off the image are an
error or, with --off-image drop, left out. Single images may lack fixations or a caption. Densities are blurred with a
Gaussian of 3 % of the longer side of each image, unless dataset.toml gives sigma or pixels_per_degree.
"""

import logging
from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets import _folder_files, _folder_gaze, _manifest
from salbench.datasets._common import Dataset, DatasetProblem, default_sigma, read_density, report
from salbench.datasets._folder_files import Files, ids_of_names, no_fixations
from salbench.datasets._gaze import Gaze
from salbench.datasets._gaze_csv import read_rows
from salbench.datasets._layout import BESIDE, OURS
from salbench.datasets._manifest import Manifest
from salbench.files import FileProblem, image_size, read_image
from salbench.sample import PER_FIXATION, Sample

log = logging.getLogger(__name__)


def load(split: str, root: Path) -> Dataset:
    """Open the folder `root`.

    Args:
        split: "all", or a split that the folders or dataset.toml name.
        root: the folder.

    Raises:
        DatasetProblem: no images, damaged or contradictory files, an unknown split, or fixations off their image or
            without an image.
    """
    if not root.is_dir():
        raise DatasetProblem(f"folder: expected a folder at {root}, found none")
    dataset, files = opened(root, split, _manifest.read(root))
    if files.layout not in (OURS, BESIDE):
        patterns = ", ".join((files.layout.images, files.layout.fixations, files.layout.maps))
        log.info("%s: read in the layout of %s: %s", root, files.layout.name, patterns)
    return dataset


def opened(root: Path, split: str, manifest: Manifest) -> tuple[Dataset, Files]:
    """Open the folder `root` as a manifest describes it, whatever its dataset.toml says; otherwise as `load`."""
    files = _folder_files.find(root, split, manifest)
    sizes = {id: size for id, path in files.images.items() if (size := _size(path)) is not None}
    files = files.only(sizes)
    gaze, notes = _folder_gaze.read(files, sizes, manifest)
    if gaze is not None and not any(len(each.points) for each in gaze.values()):
        report(no_fixations(root))
    captions = _read_captions(root / "captions.csv", files.known)
    left_out, said = _folder_gaze.left_out(gaze or {})
    dataset = Dataset(
        name="folder",
        samples=[_sample(id, files, sizes[id], gaze, captions.get(id), manifest) for id in files.images],
        gaze=manifest.gaze,
        licence=manifest.licence,
        redistribute=manifest.redistribute,
        citation=manifest.citation,
        notes=[*notes, *said],
        left_out=left_out,
    )
    return dataset, files


def _size(path):
    """(height, width), or None for a damaged picture if problems are collected."""
    try:
        return image_size(path)
    except FileProblem as error:
        report(DatasetProblem(str(error)))
        return None


def _sample(id, files, size, gaze, caption, manifest):
    known = {}
    if gaze is not None:
        seen = gaze.get(id, Gaze(np.empty((0, 2))))
        known = {name: getattr(seen, name) for name in PER_FIXATION} | {"fixations": seen.points}
    return Sample(
        id=id,
        size=size,
        read_image=partial(read_image, files.images[id]),
        read_density=partial(read_density, files.maps[id], size) if files.maps else None,
        sigma=manifest.sigma or manifest.pixels_per_degree or default_sigma(size),
        caption=caption,
        **known,
    )


def _read_captions(path, images):
    """{id: caption} of the images that have a caption."""
    if not path.exists():
        return {}
    rows = list(read_rows(path, ["image", "caption"]))
    lines = [line for line, _ in rows]
    ids = ids_of_names([name for _, (name, _) in rows], lines, images, path)
    found = {}
    for id, line, (_, (_, caption)) in zip(ids, lines, rows, strict=True):
        if id in found:
            raise DatasetProblem(f"{path}: line {line}: expected one caption per image, got a second for {id!r}")
        if caption:
            found[id] = caption
    return found
