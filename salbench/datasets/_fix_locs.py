"""CAT2000 and FIGRIM, whose images and fixations are in one folder per category.

Layout::

    IMAGES/<category>/<stem>.jpg            all of one size
    FIXATIONLOCS/<category>/<stem>.mat      fixLocs: array of the image's size, 1 where somebody looked, otherwise 0

Several fixations on one pixel count once, and the observers are unknown. The id of an image is <category>/<stem>, so
its category is the part before the slash.
"""

from functools import partial
from pathlib import Path

from salbench.datasets._common import check_number, present
from salbench.datasets._per_image import read_fix_locs, read_per_image
from salbench.files import read_image
from salbench.sample import Sample


def read_samples(
    name: str, images: Path, locs: Path, size: tuple[int, int], sigma: float, expected: int, how: str
) -> list[Sample]:
    """Read the images of all categories, sorted by category and stem.

    Args:
        name: name of the data set, for the cache and the progress bar.
        images: folder IMAGES.
        locs: folder FIXATIONLOCS.
        size: (height, width) of every image.
        sigma: blur in pixels.
        expected: published number of images.
        how: end of every error message: how to get the data set.

    Raises:
        DatasetProblem: files that are missing, unreadable or of another size.
    """
    ids = sorted(path.relative_to(images).with_suffix("").as_posix() for path in images.glob("*/*.jpg"))
    check_number(images, len(ids), expected, "images */*.jpg", how)
    ids = present(ids, locs, ".mat", how)
    gaze = read_per_image(name, [locs / f"{id}.mat" for id in ids], partial(read_fix_locs, size=size))
    return [
        Sample(id, size, partial(read_image, images / f"{id}.jpg"), fixations=points, sigma=sigma)
        for id, (points, _) in zip(ids, gaze, strict=True)
    ]
