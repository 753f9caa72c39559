"""SALICON 2017: 20 000 COCO images of 640 x 480 pixels; mouse movements in place of gaze.

Layout below the data root, as the archives unpack; there are no fixations or maps of the test split::

    SALICON/images/{train,val,test}/COCO_{train,val,test}2014_%012d.jpg      10 000, 5 000 and 5 000
    SALICON/fixations/{train,val}/<stem>.mat    resolution [480 640]; gaze, one element per observer, with
                                                location, timestamp and fixations (K x 2)
    SALICON/maps/{train,val}/<stem>.png         8-bit density that the challenge scores against

Repackagings with other folders are found too; see `FOLDERS`. They have pictures in place of .mat files: black, with a
white pixel where somebody looked. A pixel fixated twice then counts once, and the observers are unknown. The title of
the table says so, because scores differ slightly from those of the .mat files.

Of a .mat file, only the field fixations is read. Its columns are x, y and count pixels from 1, so 1 is subtracted.
`observers` is the index into gaze; the same index in two images need not be the same person. The distributed maps are
used as they are, without further blur; the Gaussian of the authors' API is 19 pixels. Parsing takes seconds to minutes,
so the parsed fixations are kept in the user cache folder.

Captions and boxes of objects come from COCO's annotations if they are on disk (see `_coco`), and are None otherwise.
COCO publishes none for the test split. The authors' ten examples of 2015 state COCO's size, 640 x 480, so SALICON's
images are taken to be COCO's originals, neither resized nor cropped; `_coco` checks the size of each.

Paper: Jiang, Huang, Duan, Zhao: SALICON: Saliency in context, CVPR 2015.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from salbench.datasets._coco import read_captions, read_objects
from salbench.datasets._common import (
    Dataset,
    DatasetProblem,
    Published,
    check_inside,
    check_number,
    check_published,
    part_of,
    present,
    read_density,
)
from salbench.datasets._layout import OF_SALICON, OURS
from salbench.datasets._mat import gaze_points, read_mat
from salbench.datasets._per_image import Fixations, read_per_image, read_picture
from salbench.datasets._source import Source, locate
from salbench.files import read_image
from salbench.sample import Sample

SIZE = (480, 640)
SIGMA = 19.0
FOLDERS = {  # part -> its possible folders, as published first
    part: tuple(dict.fromkeys(getattr(layout, part).removesuffix("/{id}") for layout in (*OF_SALICON, OURS)))
    for part in ("images", "fixations", "maps")
}
EXPECTED = {  # means after the subtraction of 1
    "train": Published(images=10_000, fixations=4_598_112, mean=(314.6272, 228.4357)),
    "val": Published(images=5_000, fixations=2_576_914, mean=(312.8489, 227.6883)),
    "test": Published(images=5_000),
}
EXPECTED_PIXELS = {"val": Published(images=5_000, fixations=2_564_787)}  # of the pictures; unknown for train
SUFFIXES = (".mat", ".png", ".bmp")  # of fixations, in the order in which they are looked for
ARCHIVES = {  # Google Drive id, MD5
    "images": ("1g8j-hTT-51IG1UFwP0xTGhLdgIUCW5e5", "MD5 eb2a1bb706633d1b31fc2e01422c5757"),
    "fixations": ("1P-jeZXCsjoKO79OhFUgnj6FGcyvmLDPj", "MD5 462b70f4f9e8ea446ac628e46cea8d3d"),
    "maps": ("1PnO7szbdub1559LfjYHMy65EDC4VhJC8", "no MD5 is known"),
}


def _how(*parts):
    archives = ", ".join(f"{part} (Google Drive id {ARCHIVES[part][0]}, {ARCHIVES[part][1]})" for part in parts)
    return (
        f"SALICON 2017: unpack the archive of {archives} from salicon.net into SALICON/{'|'.join(parts)} in the data "
        "root (--data-root or $SALBENCH_DATA)."
    )


SOURCE = Source(
    folders=("SALICON",),
    marks=tuple(
        "|".join(f"{folder.format(split='*')}/COCO_*2014_*" for folder in FOLDERS[part])
        for part in ("images", "fixations")
    ),
    how=_how("images", "fixations", "maps"),
    licence="annotations CC BY 4.0; images under the terms of Microsoft COCO",
    size="640 x 480",
)


def load(split: str, root: Path) -> Dataset:
    """Open SALICON 2017; `split` is "train", "val" or "test" (images only).

    Raises:
        DatasetProblem: files that are missing, unreadable or of another release.
    """
    base = locate(root, SOURCE)
    coco = base.parent / "COCO" / "annotations"
    images = _folder(base, "images", split, [".jpg"])
    stems, suffix = _stems(base, images, split)
    names = [f"{stem}.jpg" for stem in stems]
    ground_truth = _ground_truth(base, split, stems, suffix)
    captions = read_captions(coco / f"captions_{split}2014.json", names)
    objects = read_objects(coco / f"instances_{split}2014.json", names, SIZE)
    samples = [
        Sample(
            id=stem,
            size=SIZE,
            read_image=partial(read_image, images / f"{stem}.jpg"),
            sigma=SIGMA,
            caption=caption,
            boxes=boxes,
            categories=categories,
            **truth,
        )
        for stem, truth, caption, (boxes, categories) in zip(stems, ground_truth, captions, objects, strict=True)
    ]
    pixels = "" if suffix == ".mat" else "; fixations from pictures, each pixel once"
    return Dataset(
        name=f"salicon_{split}",
        samples=samples,
        gaze=f"mouse movements over a blurred image (Amazon Mechanical Turk), not an eye tracker{pixels}",
        licence=SOURCE.licence,
        citation="Jiang et al., SALICON: Saliency in context, CVPR 2015",
        whole=part_of(samples, EXPECTED[split].images),
    )


def _folder(base: Path, part: str, split: str, suffixes: Sequence[str]) -> Path:
    """The first possible folder of a part that holds files of the split; the published one if there is none."""
    places = [base / folder.format(split=split) for folder in FOLDERS[part]]
    patterns = [f"COCO_{split}2014_*{suffix}" for suffix in suffixes]
    return next((place for place in places if any(any(place.glob(pattern)) for pattern in patterns)), places[0])


def _stems(base: Path, images: Path, split: str) -> tuple[list[str], str]:
    """The sorted stems of the images whose files are all there, and the suffix of the files of fixations."""
    stems = sorted(path.stem for path in images.glob(f"COCO_{split}2014_*.jpg"))
    expected = EXPECTED[split].images
    check_number(images, len(stems), expected, f"images COCO_{split}2014_*.jpg", _how("images"))
    if split == "test":
        return stems, SUFFIXES[0]
    files = _folder(base, "fixations", split, SUFFIXES)
    suffix = next((s for s in SUFFIXES if any(files.glob(f"COCO_{split}2014_*{s}"))), SUFFIXES[0])
    stems = present(stems, files, suffix, _how("fixations"))
    return present(stems, _folder(base, "maps", split, [".png"]), ".png", _how("maps")), suffix


def _ground_truth(base: Path, split: str, stems: Sequence[str], suffix: str) -> list[dict[str, Any]]:
    """The fields fixations, observers and read_density of each sample; none on the test split."""
    if split == "test":
        return [{}] * len(stems)
    maps = _folder(base, "maps", split, [".png"])
    densities = [{"read_density": partial(read_density, maps / f"{stem}.png", SIZE)} for stem in stems]
    files = _folder(base, "fixations", split, SUFFIXES)
    found = read_fixations(f"salicon_{split}", [files / f"{stem}{suffix}" for stem in stems], suffix)
    if len(stems) == EXPECTED[split].images:
        _check_all(files, split, suffix, np.concatenate([points for points, _ in found]))
    known = [{"fixations": points} | ({"observers": who} if suffix == ".mat" else {}) for points, who in found]
    return [density | truth for density, truth in zip(densities, known, strict=True)]


def read_fixations(name: str, paths: Sequence[Path], suffix: str) -> list[Fixations]:
    """Read the (points, observers) of each image, with points counted from 0.

    Args:
        name: names the data set and its split, for the cache and the progress bar.
        paths: one file per image.
        suffix: of all files, one of SUFFIXES.

    Raises:
        DatasetProblem: files that cannot be read.
    """
    if suffix != ".mat":
        return read_per_image(name, paths, partial(read_picture, size=SIZE))
    found = read_per_image(name, paths, _parse_one)
    return [(points - 1, observers) for points, observers in found]


def _check_all(files: Path, split: str, suffix: str, points: np.ndarray) -> None:
    if suffix == ".mat":
        cause = "Most likely these are the fixations of the 2015 release (train 3171533, val 1662655), or the archive"
        check_published(files, points, EXPECTED[split], f"{cause} was not unpacked completely. {_how('fixations')}")
    elif split in EXPECTED_PIXELS:
        check_published(files, points, EXPECTED_PIXELS[split], f"This is another release. {_how('fixations')}")


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
