"""MIT1003: 1003 photographs, longest side 1024 pixels; eye tracker, 15 observers, 3 s of free viewing.

Layout below the data root: unpack the authors' archives ALLSTIMULI.zip and ALLFIXATIONMAPS.zip in a folder MIT1003::

    MIT1003/ALLSTIMULI/<stem>.jpeg                  1003
    MIT1003/ALLFIXATIONMAPS/<stem>_fixPts.jpg       fixations: black, with a white pixel where somebody looked

The pictures of fixations are JPEG, so a pixel above half counts as a fixation. Several fixations on one pixel count
once, and the observers are unknown. The archive holds one picture under a second, misspelt name, which is not read.

The gaze of each observer, in DATA.zip, is not read. It holds 240 positions per second, and the authors' MATLAB code,
checkFixations.m, makes fixations of it. That code is not documented well enough to be written again and checked without
the files. Others count 104 171 fixations in its output, without the first of each observer and those off the image, so
scores on those fixations differ somewhat.

Sigma is 24 pixels, the Gaussian of the authors' filter (a cut-off of 8 cycles per image of 1024 pixels).

The loader has been tested only on generated files in this layout.

Paper: Judd, Ehinger, Durand, Torralba: Learning to predict where humans look, ICCV 2009.
"""

from functools import partial
from pathlib import Path

from salbench.datasets._common import Dataset, DatasetProblem, Published, check_number, part_of, present, report
from salbench.datasets._per_image import read_per_image, read_picture
from salbench.datasets._source import Source, locate
from salbench.files import image_size, read_image
from salbench.sample import Sample

LONGEST = 1024  # pixels of the longest side of every image
SIGMA = 24.0
EXPECTED = Published(images=1003)
SUFFIX = "_fixPts.jpg"
SOURCE = Source(
    folders=("MIT1003", "WherePeopleLook"),
    marks=("ALLSTIMULI/*.jpeg",),
    how="MIT1003: unpack ALLSTIMULI.zip and ALLFIXATIONMAPS.zip from people.csail.mit.edu/tjudd/WherePeopleLook into a "
    "folder MIT1003 in the data root (--data-root or $SALBENCH_DATA).",
    licence="none stated",
    size="405 to 1024 pixels, longest side 1024",
)


def load(split: str, root: Path) -> Dataset:
    """Open MIT1003. The only split is "all".

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    folder = locate(root, SOURCE)
    images, maps = folder / "ALLSTIMULI", folder / "ALLFIXATIONMAPS"
    stems = sorted(path.stem for path in images.glob("*.jpeg"))
    check_number(images, len(stems), EXPECTED.images, "images *.jpeg", SOURCE.how)
    stems = present(stems, maps, SUFFIX, SOURCE.how)
    sizes = {f"{stem}{SUFFIX}": image_size(images / f"{stem}.jpeg") for stem in stems}
    _check_sizes(images, sizes)
    gaze = read_per_image("mit1003", [maps / name for name in sizes], lambda path: read_picture(path, sizes[path.name]))
    samples = [
        Sample(stem, size, partial(read_image, images / f"{stem}.jpeg"), fixations=points, sigma=SIGMA)
        for stem, size, (points, _) in zip(stems, sizes.values(), gaze, strict=True)
    ]
    return Dataset(
        name="mit1003",
        samples=samples,
        whole=part_of(samples, EXPECTED.images),
        gaze="eye tracker, 15 observers, 3 s of free viewing; fixations from pictures, each pixel once",
        licence=SOURCE.licence,
        citation="Judd et al., Learning to predict where humans look, ICCV 2009",
    )


def _check_sizes(images: Path, sizes: dict[str, tuple[int, int]]) -> None:
    others = [name for name, size in sizes.items() if max(size) != LONGEST]
    if others:
        name = f"{others[0].removesuffix(SUFFIX)}.jpeg"
        report(
            DatasetProblem(
                f"{images}: expected images whose longest side is {LONGEST} pixels, got {len(others)} others, such as "
                f"{name}. Were they resized? {SOURCE.how}"
            )
        )
