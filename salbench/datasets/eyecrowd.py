"""EyeCrowd: 500 photographs of crowds, 1024 x 768 pixels; eye tracker, 16 observers, free viewing.

Layout below the data root, as in the authors' repository::

    EyeCrowd/data/stimuli/001.jpg ... 500.jpg
    EyeCrowd/data/eye/fixations.mat     fixations: 500 x 1 cell of {img, subjects}; subjects: 16 x 1 cell of
                                        {fix_x, fix_y, fix_duration}

The folder EyeCrowd may also be called saliency-in-crowd, as a clone is, or saliency-in-crowd-master, as the folder in
GitHub's ZIP file is; that file may also be unpacked in EyeCrowd. labels.mat (faces) is not read.

fix_x and fix_y are fractions of pixels. The authors round them to MATLAB indices, so pixel i, counted from 0, covers
[i + 0.5, i + 1.5) in their numbers, and 0.5 is subtracted here. All 126 348 fixations are on their image; 3 of the
8 000 observer lists are empty. Durations are not read.

The authors blur with a Gaussian of 26 pixels (eye.radius in their config.m). Their code
cross-validates on ten random parts, which they do not publish. Here the 100 photographs whose number n has n % 5 = 4
are the test split, and the other 400 the training split. No photograph is there twice.

Paper: Jiang, Xu, Zhao: Saliency in crowd, ECCV 2014.
"""

from pathlib import Path

from salbench.datasets._common import Dataset, Published, part_of
from salbench.datasets._nus_vip import read_samples
from salbench.datasets._source import Source, locate

SIZE = (768, 1024)
SIGMA = 26.0
EXPECTED = Published(images=500, fixations=126_348, mean=(519.6397, 335.6468))  # mean before the subtraction
SOURCE = Source(
    folders=("EyeCrowd", "EyeCrowd/saliency-in-crowd-master", "saliency-in-crowd", "saliency-in-crowd-master"),
    marks=("data/stimuli/[0-5]??.jpg", "data/eye"),
    how="EyeCrowd: clone the repository NUS-VIP/saliency-in-crowd (MIT licence) from GitHub into a folder EyeCrowd in "
    "the data root (--data-root or $SALBENCH_DATA); if it is there already, clone it again.",
    licence="MIT",
    size="1024 x 768",
    archive="https://github.com/NUS-VIP/saliency-in-crowd/archive/HEAD.zip",
    sums={
        "data/eye/fixations.mat": "ecf99dcbb4d44c3caa5740361461f6b5775da978f32a87d1cd801c202c3beab6",
    },
)


def load(split: str, root: Path) -> Dataset:
    """Open EyeCrowd; `split` is "all", "train" (400 photographs) or "test" (100).

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    every = [f"{i + 1:03d}" for i in range(EXPECTED.images)]
    stems = [stem for stem in every if split == "all" or (int(stem) % 5 == 4) == (split == "test")]
    data = locate(root, SOURCE) / "data"
    samples = read_samples(data, every, stems, SIZE, SIGMA, EXPECTED, SOURCE.how)
    return Dataset(
        name="eyecrowd" if split == "all" else f"eyecrowd_{split}",
        samples=samples,
        whole=part_of(samples, len(stems)),
        gaze="eye tracker, 16 observers, free viewing",
        licence=SOURCE.licence,
        redistribute=True,
        citation="Jiang, Xu, Zhao, Saliency in crowd, ECCV 2014",
    )
