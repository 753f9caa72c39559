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

from salbench.datasets._common import Dataset, Published
from salbench.datasets._nus_vip import read_samples

SIZE = (600, 800)
SIGMA = 24.0
FIRST = 1001  # the number of the first photograph
EXPECTED = Published(images=700, fixations=98_321, mean=(401.4660, 283.5829))  # mean before the subtraction
HOW = (
    "OSIE: clone the repository NUS-VIP/predicting-human-gaze-beyond-pixels from GitHub into a folder OSIE in the "
    "data root (--data-root or $SALBENCH_DATA); if it is there already, clone it again."
)


def load(split: str, root: Path) -> Dataset:
    """Open OSIE; `split` is "all", "train" (500 photographs) or "test" (200).

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    stems = [str(FIRST + i) for i in range(EXPECTED.images)]
    samples = read_samples(root / "OSIE" / "data", stems, SIZE, SIGMA, EXPECTED, HOW)
    return Dataset(
        name="osie" if split == "all" else f"osie_{split}",
        samples=[s for s in samples if split == "all" or (int(s.id) % 7 in (0, 1)) == (split == "test")],
        gaze="eye tracker, 15 observers, 3 s of free viewing",
        licence="MIT",
        citation="Xu et al., Predicting human gaze beyond pixels, Journal of Vision 14(1):28, 2014",
    )
