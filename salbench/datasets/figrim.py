"""FIGRIM, target images: 630 scenes of 1000 x 1000 pixels in 21 categories; eye tracker, memory task.

Layout below the data root: unpack the authors' archives Targets.zip and FIXATIONLOCS.zip in a folder FIGRIM::

    FIGRIM/Targets/<category>/<stem>.jpg            30 in each category
    FIGRIM/FIXATIONLOCS/<category>/<stem>.mat       fixLocs: 1 where somebody looked, otherwise 0

11 to 22 observers saw each target up to three times, among other scenes, and said whether they had seen it before. So
this is no free viewing. Several fixations on one pixel count once, and the observers are unknown. The authors list six
pairs of duplicates among the targets. Sigma is 3 % of the side.

The loader has been tested only on generated files in this layout.

Paper: Bylinskii, Isola, Bainbridge, Torralba, Oliva: Intrinsic and extrinsic effects on image memorability, Vision
Research 116, 2015.
"""

from pathlib import Path

from salbench.datasets._common import Dataset, Published, default_sigma, part_of
from salbench.datasets._fix_locs import read_samples
from salbench.datasets._source import Source, locate

SIZE = (1000, 1000)
EXPECTED = Published(images=630)
SOURCE = Source(
    folders=("FIGRIM", "figrim"),
    marks=("Targets/*/*.jpg", "FIXATIONLOCS"),
    how="FIGRIM: unpack Targets.zip and FIXATIONLOCS.zip from figrim.mit.edu into a folder FIGRIM in the data root "
    "(--data-root or $SALBENCH_DATA).",
    licence="none stated",
    size="1000 x 1000",
)


def load(split: str, root: Path) -> Dataset:
    """Open the targets of FIGRIM. The only split is "all".

    Raises:
        DatasetProblem: files that are missing, unreadable or of another size.
    """
    folder = locate(root, SOURCE)
    images, locs = folder / "Targets", folder / "FIXATIONLOCS"
    samples = read_samples("figrim", images, locs, SIZE, default_sigma(SIZE), EXPECTED.images, SOURCE.how)
    return Dataset(
        name="figrim",
        samples=samples,
        whole=part_of(samples, EXPECTED.images),
        gaze="eye tracker, 11 to 22 observers, memory task; each fixated pixel once",
        licence=SOURCE.licence,
        citation="Bylinskii et al., Intrinsic and extrinsic effects on image memorability, Vision Research 116, 2015",
    )
