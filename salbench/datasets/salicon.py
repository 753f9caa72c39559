"""SALICON 2017: 20 000 COCO images of 640 x 480 pixels; mouse movements in place of gaze.

Layout below the data root, as the archives unpack; there are no fixations or maps of the test split::

    SALICON/images/{train,val,test}/COCO_{train,val,test}2014_%012d.jpg      10 000, 5 000 and 5 000
    SALICON/fixations/{train,val}/<stem>.mat    resolution [480 640]; gaze, one element per observer, with
                                                location, timestamp and fixations (K x 2)
    SALICON/maps/{train,val}/<stem>.png         8-bit density that the challenge scores against

Only the field fixations is read. Its columns are x, y and count pixels from 1, so 1 is subtracted. `observers` is the
index into gaze; the same index in two images need not be the same person. The distributed maps are used as they are,
without further blur; the Gaussian of the authors' API is 19 pixels. Parsing takes seconds to minutes, so the parsed
fixations are kept in the user cache folder.

Captions and boxes of objects come from COCO's annotations if they are on disk (see `_coco`), and are None otherwise.
COCO publishes none for the test split. The authors' ten examples of 2015 state COCO's size, 640 x 480, so SALICON's
images are taken to be COCO's originals, neither resized nor cropped; `_coco` checks the size of each.

Paper: Jiang, Huang, Duan, Zhao: SALICON: Saliency in context, CVPR 2015.
"""

from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from salbench.datasets._cache import cached
from salbench.datasets._coco import read_captions, read_objects
from salbench.datasets._common import (
    NO_DOWNLOAD,
    Dataset,
    DatasetProblem,
    Published,
    check_inside,
    check_published,
    read_density,
    require_files,
)
from salbench.datasets._mat import gaze_points, read_mat
from salbench.files import read_image
from salbench.sample import Sample

SIZE = (480, 640)
SIGMA = 19.0
EXPECTED = {  # means after the subtraction of 1
    "train": Published(images=10_000, fixations=4_598_112, mean=(314.6272, 228.4357)),
    "val": Published(images=5_000, fixations=2_576_914, mean=(312.8489, 227.6883)),
    "test": Published(images=5_000),
}
ARCHIVES = {  # Google Drive id, MD5
    "images": ("1g8j-hTT-51IG1UFwP0xTGhLdgIUCW5e5", "MD5 eb2a1bb706633d1b31fc2e01422c5757"),
    "fixations": ("1P-jeZXCsjoKO79OhFUgnj6FGcyvmLDPj", "MD5 462b70f4f9e8ea446ac628e46cea8d3d"),
    "maps": ("1PnO7szbdub1559LfjYHMy65EDC4VhJC8", "no MD5 is known"),
}


def load(split: str, root: Path) -> Dataset:
    """Open SALICON 2017; `split` is "train", "val" or "test" (images only).

    Raises:
        DatasetProblem: files that are missing, unreadable or of another release.
    """
    base, coco = root / "SALICON", root / "COCO" / "annotations"
    stems = _list_images(base / "images" / split, split)
    names = [f"{stem}.jpg" for stem in stems]
    ground_truth = _ground_truth(base, split, stems)
    captions = read_captions(coco / f"captions_{split}2014.json", names)
    objects = read_objects(coco / f"instances_{split}2014.json", names, SIZE)
    samples = [
        Sample(
            id=stem,
            size=SIZE,
            read_image=partial(read_image, base / "images" / split / f"{stem}.jpg"),
            fixations=fixations,
            observers=observers,
            read_density=density,
            sigma=SIGMA,
            caption=caption,
            boxes=boxes,
            categories=categories,
        )
        for stem, (fixations, observers, density), caption, (boxes, categories) in zip(
            stems, ground_truth, captions, objects, strict=True
        )
    ]
    return Dataset(
        name=f"salicon_{split}",
        samples=samples,
        gaze="mouse movements over a blurred image (Amazon Mechanical Turk), not an eye tracker",
        licence="annotations CC BY 4.0; images under the terms of Microsoft COCO",
        citation="Jiang et al., SALICON: Saliency in context, CVPR 2015",
    )


def _how(part):
    drive, md5 = ARCHIVES[part]
    return (
        f"SALICON 2017: unpack the archive of {part} from salicon.net (Google Drive id {drive}, {md5}) "
        f"into SALICON/{part} in the data root (--data-root or $SALBENCH_DATA)."
    )


def _list_images(folder, split):
    """Sorted stems of the images of the split."""
    stems = sorted(path.stem for path in folder.glob(f"COCO_{split}2014_*.jpg"))
    expected = EXPECTED[split].images
    if len(stems) != expected:
        raise DatasetProblem(
            f"{folder}: expected {expected} images COCO_{split}2014_*.jpg, found {len(stems)}"
            f"{' (was the archive unpacked completely?)' if stems else ''}. {_how('images')} {NO_DOWNLOAD}"
        )
    return stems


def _ground_truth(base, split, stems):
    """[(fixations, observers, read_density)] of the images; all None on the test split."""
    if split == "test":
        return [(None, None, None)] * len(stems)
    files, maps = base / "fixations" / split, base / "maps" / split
    require_files(files, [f"{stem}.mat" for stem in stems], _how("fixations"))
    require_files(maps, [f"{stem}.png" for stem in stems], _how("maps"))
    paths = [files / f"{stem}.mat" for stem in stems]
    parsed = cached(f"salicon_{split}", paths, partial(_parse, paths), partial(_whole, len(paths)))
    points, observers, counts = parsed["points"].astype(np.float64) - 1, parsed["observers"], parsed["counts"]
    cause = (
        "Most likely these are the fixations of the 2015 release (train 3171533, val 1662655), "
        f"or the archive was not unpacked completely. {_how('fixations')}"
    )
    check_published(files, points, EXPECTED[split], cause)
    ends = np.cumsum(counts)[:-1]
    return [
        (fixations, who, partial(read_density, maps / f"{stem}.png", SIZE))
        for stem, fixations, who in zip(stems, np.split(points, ends), np.split(observers, ends), strict=True)
    ]


def _parse(paths):
    """Arrays by name: points (N, 2), the stored x, y of all files; observers (N,); counts, the number per file."""
    bar = tqdm(paths, desc="SALICON: parsing fixations (once)", unit="file", disable=None)
    points, observers = zip(*(_parse_one(path) for path in bar), strict=True)
    counts = np.array([len(p) for p in points])
    return {"points": np.concatenate(points), "observers": np.concatenate(observers), "counts": counts}


def _whole(files, points, observers, counts):
    return len(points) == len(observers) == counts.sum() and len(counts) == files


def _parse_one(path):
    content = read_mat(path, ["gaze", "resolution"])
    if content["resolution"].ravel().tolist() != list(SIZE):
        raise DatasetProblem(
            f"{path}: expected resolution {list(SIZE)}, got {content['resolution'].ravel().tolist()}. "
            f"{_how('fixations')}"
        )
    points, observers = gaze_points(content["gaze"], path)
    check_inside(points.astype(np.float64) - 1, SIZE, path, _how("fixations"))
    return points, observers.astype(np.int32)
