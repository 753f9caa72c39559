"""SALICON, release of 2017: 20 000 COCO images of 640 x 480 pixels, gaze stood in for by mouse movements.

Layout below the data root; the archives unpack to it (fixations and maps hold train/ and val/ alone)::

    SALICON/images/{train,val,test}/COCO_{train,val,test}2014_%012d.jpg      10 000, 5 000 and 5 000
    SALICON/fixations/{train,val}/<stem>.mat    resolution [480 640]; gaze, one element per observer, with
                                                location, timestamp and fixations (K x 2)
    SALICON/maps/{train,val}/<stem>.png         8-bit density, as the challenge scores against

Only the field fixations is read. Its columns are x, y and count pixels from 1: 1 is subtracted. `observers` holds
the index into gaze, which names no person across images. The distributed maps are never blurred again; 19 pixels
is the Gaussian of the authors' API. Parsing takes seconds to minutes, so its result is kept in the user cache
folder.

Captions and boxes of objects come from COCO's annotations where these lie beside SALICON (see `_coco`); they are None
where not, and on the test split, for which COCO publishes none. COCO's records in the authors' ten examples of 2015
say 640 x 480, so images are taken to be originals, neither resized nor cut; `_coco` checks the sizes of all.

Paper: Jiang, Huang, Duan, Zhao: SALICON: Saliency in context, CVPR 2015.
"""

from functools import partial

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
EXPECTED = {  # means after the subtraction
    "train": Published(images=10_000, fixations=4_598_112, mean=(314.6272, 228.4357)),
    "val": Published(images=5_000, fixations=2_576_914, mean=(312.8489, 227.6883)),
    "test": Published(images=5_000),
}
ARCHIVES = {  # Google Drive id, MD5
    "images": ("1g8j-hTT-51IG1UFwP0xTGhLdgIUCW5e5", "MD5 eb2a1bb706633d1b31fc2e01422c5757"),
    "fixations": ("1P-jeZXCsjoKO79OhFUgnj6FGcyvmLDPj", "MD5 462b70f4f9e8ea446ac628e46cea8d3d"),
    "maps": ("1PnO7szbdub1559LfjYHMy65EDC4VhJC8", "no MD5 is known"),
}


def load(split, root):
    """Open SALICON 2017; `split` is "train", "val" or "test" (images only).

    Raises:
        DatasetProblem: files that are missing, unreadable, or of another release.
    """
    base, coco = root / "SALICON", root / "COCO" / "annotations"
    stems = _list_images(base / "images" / split, split)
    names = [f"{stem}.jpg" for stem in stems]
    ground_truth = _ground_truth(base, split, stems)
    captions = read_captions(coco / f"captions_{split}2014.json", names)
    objects = read_objects(coco / f"instances_{split}2014.json", names, SIZE)
    samples = [
        Sample(stem, SIZE, partial(read_image, base / "images" / split / name), *gaze, SIGMA, caption, *boxes)
        for stem, name, gaze, caption, boxes in zip(stems, names, ground_truth, captions, objects, strict=True)
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
        f"as SALICON/{part} in the data root (--data-root or $SALBENCH_DATA)."
    )


def _list_images(folder, split):
    """Stems of the split's images in rising order."""
    stems = sorted(path.stem for path in folder.glob(f"COCO_{split}2014_*.jpg"))
    expected = EXPECTED[split].images
    if len(stems) != expected:
        raise DatasetProblem(
            f"{folder}: expected {expected} images COCO_{split}2014_*.jpg, found {len(stems)}"
            f"{' (was the archive unpacked to its end?)' if stems else ''}. {_how('images')} {NO_DOWNLOAD}"
        )
    return stems


def _ground_truth(base, split, stems):
    """(fixations, observers, read_density) of every image; three times None on the test split."""
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
        f"or an archive not unpacked to its end. {_how('fixations')}"
    )
    check_published(files, points, EXPECTED[split], cause)
    ends = np.cumsum(counts)[:-1]
    return [
        (fixations, who, partial(read_density, maps / f"{stem}.png", SIZE))
        for stem, fixations, who in zip(stems, np.split(points, ends), np.split(observers, ends), strict=True)
    ]


def _parse(paths):
    """Read all files one after the other.

    Returns:
        {points, observers, counts}: stored x, y of all fixations, their observers, and the number per file.
    """
    bar = tqdm(paths, desc="SALICON: parsing fixations, once", unit="file", disable=None)
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
