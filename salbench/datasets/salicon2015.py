"""SALICON 2015: the ten example images of the authors, mouse-tracked. Too few to rank models; good to try one.

Layout below the data root, as in the authors' evaluation code::

    salicon2015_examples/images/COCO_train2014_000000123067.jpg ...
    salicon2015_examples/annotations/fixations_train2014examples.json
        images: [{id, file_name, height, width}]
        annotations: [{image_id, worker_id, fixations}], one per worker and image; fixations: [row, column] from 1

The file's "fixations" are all mouse samples, about 7 400 per image, including those on the way between two places.
Like the authors' evaluation code, this loader keeps a sample only if an earlier one in the file, of any worker, hit
the same pixel: 3 965 of 73 630. The 2017 release has other fixations and other scores. The authors' code blurs with a
Gaussian of 19 pixels.

Paper: Jiang, Huang, Duan, Zhao: SALICON: Saliency in Context, CVPR 2015.
"""

from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._common import (
    Dataset,
    DatasetProblem,
    Published,
    check_inside,
    check_published,
    part_of,
    present,
    require_files,
)
from salbench.datasets._source import Source, locate
from salbench.files import read_image
from salbench.sample import Sample
from salbench.text_files import parse_json

EXPECTED = Published(images=10, fixations=3_965, mean=(300.4033, 222.9718))
SIGMA = 19.0
SOURCE = Source(
    folders=("salicon2015_examples", "salicon-evaluation", "salicon-evaluation-master"),
    marks=("annotations/fixations_train2014examples.json",),
    how="SALICON 2015 examples: clone the authors' evaluation code NUS-VIP/salicon-evaluation from GitHub into a "
    "folder salicon2015_examples in the data root (--data-root or $SALBENCH_DATA); it must hold images/ and "
    "annotations/.",
    licence="annotations CC BY 4.0, photographs as Flickr says",
    size="640 x 480",
)


def load(split: str, root: Path) -> Dataset:
    """Open the examples. The only split is "all".

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    folder = locate(root, SOURCE)
    path = folder / "annotations" / "fixations_train2014examples.json"
    require_files(path.parent, [path.name], SOURCE.how)
    sizes, clicks = _read(path)
    there = set(present(sorted(sizes), folder / "images", "", SOURCE.how))
    every = [_sample(folder / "images" / name, sizes[name], clicks[name], path) for name in sorted(sizes)]
    points = np.concatenate([s.fixations for s in every])
    check_published(path, points, EXPECTED, f"This is not the published file. {SOURCE.how}")
    samples = [sample for sample, name in zip(every, sorted(sizes), strict=True) if name in there]
    return Dataset(
        name="salicon2015_examples",
        samples=samples,
        whole=part_of(samples, EXPECTED.images),
        gaze="mouse-tracked, 55 to 67 workers, 2015 release",
        licence=SOURCE.licence,
        citation="Jiang et al., SALICON: Saliency in Context, CVPR 2015",
    )


def _read(path):
    """({file name: (height, width)}, {file name: [int (K, 2) row, column from 1 of one worker's mouse samples]})."""
    try:
        content = parse_json(path.read_bytes())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        sizes = {image["file_name"]: (image["height"], image["width"]) for image in content["images"]}
        if not all(type(side) is int and side > 0 for size in sizes.values() for side in size):
            raise ValueError("got a height or width that is not a whole number of pixels")
        tracks = defaultdict(list)
        for annotation in content["annotations"]:
            tracks[names[annotation["image_id"]]].append(np.array(annotation["fixations"], dtype=int).reshape(-1, 2))
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise DatasetProblem(
            f"{path}: expected the annotations of SALICON 2015, but cannot read them: {error}. {SOURCE.how}"
        ) from error
    return sizes, tracks


def _sample(path, size, tracks, source):
    rows_columns = np.concatenate([*tracks, np.empty((0, 2), int)])
    _, first = np.unique(rows_columns, axis=0, return_index=True)
    returns = np.delete(rows_columns, first, axis=0)[:, ::-1] - 1.0
    check_inside(returns, size, f"{source}, {path.name}", SOURCE.how)
    return Sample(Path(path).stem, size, partial(read_image, path), returns, sigma=SIGMA)
