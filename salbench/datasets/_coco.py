"""COCO's annotations of images of its 2014 release: captions, and boxes of objects with their categories.

Layout below the data root: unpack annotations_trainval2014.zip in a folder COCO::

    COCO/annotations/captions_{train,val}2014.json      {images: [{id, file_name, height, width}],
                                                        annotations: [{image_id, caption}]}
    COCO/annotations/instances_{train,val}2014.json     the same, with annotations: [{image_id, bbox, category_id}]

Both files are optional; without them captions or boxes are None. They hold hundreds of megabytes, so each is parsed
once, and the annotations of the requested images are kept in the user cache folder.

Paper: Lin et al.: Microsoft COCO: Common objects in context, ECCV 2014; format: cocodataset.org/#format-data.
"""

import logging
from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._cache import cached
from salbench.datasets._common import DatasetProblem
from salbench.datasets._mat import structure
from salbench.text_files import parse_json

log = logging.getLogger(__name__)
LAYOUT = (
    "a JSON file from annotations_trainval2014.zip of cocodataset.org "
    "(unpack it again as COCO/annotations, or move the file away to do without it)"
)
_READ = {"images", "annotations", "id", "file_name", "height", "width", "image_id", "caption", "bbox", "category_id"}


def read_captions(path: Path, names: list[str]) -> list[str | None]:
    """Read one caption per image: the first of COCO's five in file order, as Aydemir et al. 2024 do.

    Args:
        path: captions_*.json.
        names: file names of the images.

    Returns:
        Captions with runs of white space reduced to one blank; None for images without a caption, and for all images
        if the file does not exist.

    Raises:
        DatasetProblem: the file is not COCO's JSON, or does not list one of the images.
    """
    if not path.is_file():
        return [None] * len(names)
    arrays = cached(path.stem, [path], partial(_parse_captions, path, names), partial(_whole_captions, names))
    return [caption or None for caption in arrays["captions"].tolist()]


def read_objects(
    path: Path, names: list[str], size: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray] | tuple[None, None]]:
    """Read the boxes and categories of the objects in each image.

    COCO counts pixels from 0 at the upper left corner, as `salbench.sample` does. Boxes are scaled if COCO's image has
    another size but the same aspect ratio, cut at the border of the image, and dropped if nothing remains. A region
    that COCO marks as a crowd counts as one object.

    Args:
        path: instances_*.json.
        names: file names of the images.
        size: (height, width) in pixels, the same for all images.

    Returns:
        (boxes, categories) for each image: float (K, 4) of x, y, width, height in pixels, and int64 (K,) of COCO's
        category ids, 1 to 90. K is 0 for an image without objects. (None, None) if the file does not exist.

    Raises:
        DatasetProblem: the file is not COCO's JSON, does not list one of the images, or lists one with another aspect
            ratio.
    """
    if not path.is_file():
        return [(None, None)] * len(names)
    arrays = cached(path.stem, [path], partial(_parse_objects, path, names), partial(_whole_objects, names))
    sizes, counts = arrays["sizes"], arrays["counts"]
    _check_aspect(path, names, sizes, size)
    owner = np.repeat(np.arange(len(names)), counts)
    scaled = arrays["boxes"] * (size[1] / sizes[owner, 1:])
    low, high = (np.clip(edge, 0, size[::-1]) for edge in (scaled[:, :2], scaled[:, :2] + scaled[:, 2:]))
    left = (high > low).all(axis=1)
    boxes, categories = np.concatenate([low, high - low], axis=1)[left], arrays["categories"][left]
    starts = np.searchsorted(owner[left], np.arange(1, len(names)))
    return list(zip(np.split(boxes, starts), np.split(categories, starts), strict=True))


def _check_aspect(path, names, sizes, size):
    other = np.flatnonzero(sizes[:, 0] * size[1] != sizes[:, 1] * size[0])
    if len(other):
        height, width = sizes[other[0]]
        raise DatasetProblem(
            f"{path}: expected images with the aspect ratio of {size[1]} x {size[0]} pixels, got {len(other)} others, "
            f"such as {names[other[0]]} of {width} x {height}, so their boxes cannot be placed. Move the file away to "
            "do without boxes"
        )


def _parse_captions(path, names):
    with structure(path, LAYOUT):
        first = [found[0]["caption"] if found else "" for _, found in _annotated(path, names)]
        captions = [" ".join(caption.split()) for caption in first]
    return {"names": np.array(names), "captions": np.array(captions)}


def _whole_captions(wanted, names, captions):
    return names.tolist() == wanted and len(captions) == len(wanted)


def _parse_objects(path, names):
    """Stored arrays: names, sizes (N, 2) of height, width, counts (N,), boxes (sum of counts, 4) and categories."""
    with structure(path, LAYOUT):
        images, found = zip(*_annotated(path, names), strict=True)
        sizes = np.array([(image["height"], image["width"]) for image in images])
        objects = [annotation for annotations in found for annotation in annotations]
        boxes = np.array([annotation["bbox"] for annotation in objects] or np.empty((0, 4)), dtype=np.float64)
        categories = np.array([annotation["category_id"] for annotation in objects], dtype=None if objects else int)
        if sizes.dtype.kind != "i" or sizes.min() < 1:
            raise ValueError("got a height or width that is not a whole number of pixels")
        if boxes.shape != (len(objects), 4) or not np.isfinite(boxes).all():
            raise ValueError("got a bbox that is not four finite numbers")
        if categories.shape != (len(objects),) or categories.dtype.kind != "i":
            raise ValueError("got a category_id that is not a whole number")
    counts = np.array([len(annotations) for annotations in found])
    return {"names": np.array(names), "sizes": sizes, "counts": counts, "boxes": boxes, "categories": categories}


def _whole_objects(wanted, names, sizes, counts, boxes, categories):
    shapes = sizes.shape == (len(wanted), 2) and counts.shape == (len(wanted),)
    return names.tolist() == wanted and shapes and counts.sum() == len(boxes) == len(categories)


def _annotated(path, names):
    """[(COCO's record of the image, its annotations in file order)] for each of `names`."""
    log.info("%s: parsing it once", path)
    content = parse_json(path.read_bytes(), object_hook=_slim)
    images = {image["file_name"]: image for image in content["images"]}
    missing = [name for name in names if name not in images]
    if missing:
        raise DatasetProblem(
            f"{path}: expected {len(names)} images, {len(missing)} of them are not listed, such as {missing[0]}. "
            "Is this the file of another split? Replace it, or move it out of the data root to load without "
            "captions and boxes"
        )
    found = {images[name]["id"]: [] for name in names}
    for annotation in content["annotations"]:
        if annotation["image_id"] in found:
            found[annotation["image_id"]].append(annotation)
    return [(images[name], found[images[name]["id"]]) for name in names]


def _slim(record):
    """The record without the keys that are not read: outlines of objects would take gigabytes of memory."""
    return {key: value for key, value in record.items() if key in _READ}
