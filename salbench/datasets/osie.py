"""OSIE: 700 photographs of 800 x 600 pixels; eye tracker, 15 observers, 3 s of free viewing.

Layout below the data root, as in the authors' repository::

    OSIE/data/stimuli/1001.jpg ... 1700.jpg
    OSIE/data/eye/fixations.mat     fixations: 700 x 1 cell of {img, subjects}; subjects: 15 x 1 cell of
                                    {fix_x, fix_y, fix_duration}

fix_x and fix_y are fractions of pixels. The authors round them to MATLAB indices, so pixel i, counted from 0, covers
[i + 0.5, i + 1.5) in their numbers, and 0.5 is subtracted here. Durations are not read. The authors blur with a
Gaussian of 24 pixels. They define no split. Here the 200 photographs whose number n has n % 7 in {0, 1} are the test
split, and the other 500 the training split.

Paper: Xu, Jiang, Wang, Kankanhalli, Zhao: Predicting human gaze beyond pixels, Journal of Vision 14(1):28, 2014.
"""

from pathlib import Path

from salbench.datasets._common import Dataset, Published, part_of
from salbench.datasets._nus_vip import read_samples
from salbench.datasets._source import Source, locate

SIZE = (600, 800)
SIGMA = 24.0
FIRST = 1001  # the number of the first photograph
EXPECTED = Published(images=700, fixations=98_321, mean=(401.4660, 283.5829))  # mean before the subtraction
SOURCE = Source(
    folders=("OSIE", "predicting-human-gaze-beyond-pixels", "predicting-human-gaze-beyond-pixels-master"),
    marks=("data/stimuli/1[0-7]??.jpg",),
    how="OSIE: clone the repository NUS-VIP/predicting-human-gaze-beyond-pixels from GitHub into a folder OSIE in the "
    "data root (--data-root or $SALBENCH_DATA); if it is there already, clone it again.",
    licence="MIT",
    size="800 x 600",
    archive="https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels/archive/HEAD.zip",
    sums={
        "data/eye/fixations.mat": "2aab9133a407e4eff3f57ab5799872b162dbc77ca462c0391762eb5e67deadb9",
    },
)


def load(split: str, root: Path) -> Dataset:
    """Open OSIE; `split` is "all", "train" (500 photographs) or "test" (200).

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    every = [str(FIRST + i) for i in range(EXPECTED.images)]
    stems = [stem for stem in every if split == "all" or (int(stem) % 7 in (0, 1)) == (split == "test")]
    data = locate(root, SOURCE) / "data"
    samples = read_samples(data, every, stems, SIZE, SIGMA, EXPECTED, SOURCE.how)
    return Dataset(
        name="osie" if split == "all" else f"osie_{split}",
        samples=samples,
        whole=part_of(samples, len(stems)),
        gaze="eye tracker, 15 observers, 3 s of free viewing",
        licence=SOURCE.licence,
        redistribute=True,
        citation="Xu et al., Predicting human gaze beyond pixels, Journal of Vision 14(1):28, 2014",
    )
