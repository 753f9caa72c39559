"""CAT2000, training set: 2000 images of 1920 x 1080 pixels in 20 categories; eye tracker, 5 s of free viewing.

Layout below the data root: unpack the authors' archive trainSet.zip in a folder CAT2000::

    CAT2000/trainSet/Stimuli/<category>/<nnn>.jpg           100 in each category
    CAT2000/trainSet/FIXATIONLOCS/<category>/<nnn>.mat      fixLocs: 1 where somebody looked, otherwise 0

The folders Stimuli/<category>/Output hold other people's maps, which are no stimuli. FIXATIONMAPS is not read: with a
Gaussian of 40 pixels, fixations give nearly the distributed maps (Kümmerer et al., Saliency benchmarking made easy,
ECCV 2018).

Several fixations on one pixel count once, and the observers are unknown. Scanpaths are only in allFixData.mat, which
can be read in MATLAB alone. So the counts of pysaliency's two versions cannot be checked here: 672 053 fixations in
v1, and 667 804 in v1.1, which leaves out immediate repetitions and subtracts 1 from the coordinates. FIXATIONLOCS has
neither order nor repetitions. Many images have grey borders, and some fixations are on them.

An id is <category>/<nnn>, so the scores of each category are a `groupby` away; see the page on data sets.

The loader has been tested only on generated files in this layout.

Paper: Borji, Itti: CAT2000: A large scale fixation dataset for boosting saliency research, CVPR 2015 workshop on the
future of datasets.
"""

from pathlib import Path

from salbench.datasets._common import Dataset, Published, part_of
from salbench.datasets._fix_locs import read_samples
from salbench.datasets._source import Source, locate

SIZE = (1080, 1920)
SIGMA = 40.0
EXPECTED = Published(images=2000)
SOURCE = Source(
    folders=("CAT2000/trainSet", "CAT2000", "trainSet"),
    marks=("Stimuli/*/[0-9][0-9][0-9].jpg", "FIXATIONLOCS"),
    how="CAT2000: unpack trainSet.zip from saliency.mit.edu into a folder CAT2000 in the data root (--data-root or "
    "$SALBENCH_DATA).",
    licence="none stated",
    size="1920 x 1080",
)


def load(split: str, root: Path) -> Dataset:
    """Open the training set of CAT2000. The only split is "train".

    Raises:
        DatasetProblem: files that are missing, unreadable or of another size.
    """
    folder = locate(root, SOURCE)
    images, locs = folder / "Stimuli", folder / "FIXATIONLOCS"
    samples = read_samples("cat2000_train", images, locs, SIZE, SIGMA, EXPECTED.images, SOURCE.how)
    return Dataset(
        name="cat2000_train",
        samples=samples,
        whole=part_of(samples, EXPECTED.images),
        gaze="eye tracker, 18 observers, 5 s of free viewing; each fixated pixel once",
        licence=SOURCE.licence,
        citation="Borji, Itti, CAT2000, CVPR 2015 workshop on the future of datasets",
    )
