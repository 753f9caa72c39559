"""100 SALICON images reconstructed by the diffusion model of Aydemir et al.: the originals of their contrast edits.

Layout below the data root, as the authors released it under CC BY-SA 4.0 (share alike: also what is made from them)::

    augsal_contrast100/images/<stem>.jpgedited_image1.0.jpg     512 x 512; other strengths are edits of the same stems
    augsal_contrast100/saliency_gt/salmap_<stem>.jpg.png        256 x 256, 8 bit: SALICON's density of the image
    augsal_contrast100/selected/                                regions of the edits, see `salbench.edits`
    augsal_contrast100/fixations/<stem>.mat                     optional: SALICON's fixations of these images

The images are a part of salicon_train; stems are those of COCO's files. The authors squeezed COCO's 640 x 480 to
512 x 512, and the images stay that size. Without fixations, the set serves for training only. They are not a part of
the release: copy those of the hundred images from SALICON 2017, as .mat files or as pictures (see `salicon`). They are
squeezed like the images.

Paper: Aydemir, Bhattacharjee, Zhang, Salzmann, Süsstrunk: Data augmentation via latent diffusion for saliency
prediction, ECCV 2024.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from salbench.checks import check_density
from salbench.datasets import salicon
from salbench.datasets._common import Dataset, check_number, part_of, present
from salbench.datasets._source import Source, locate
from salbench.files import read_image, read_map
from salbench.maps import resize
from salbench.sample import Sample

IMAGES = 100
SIZE = (512, 512)
_SCALE = SIZE[0] / salicon.SIZE[0], SIZE[1] / salicon.SIZE[1]  # vertical, horizontal
SIGMA = salicon.SIGMA * (_SCALE[0] * _SCALE[1]) ** 0.5  # pixels; the geometric mean of both axes
UNEDITED = ".jpgedited_image1.0.jpg"
SOURCE = Source(
    folders=("augsal_contrast100",),
    marks=(f"images/*{UNEDITED}",),
    how="AugSal: Aydemir et al. released 100 contrast edits with their code. Put its folders images/, saliency_gt/ and "
    "selected/ in a folder augsal_contrast100 in the data root (--data-root or $SALBENCH_DATA).",
    licence="CC BY-SA 4.0",
    size="512 x 512",
)


def load(split: str, root: Path) -> Dataset:
    """Open the originals. The only split is "all".

    Raises:
        DatasetProblem: missing files.
    """
    folder = locate(root, SOURCE)
    stems = sorted(path.name.removesuffix(UNEDITED) for path in (folder / "images").glob(f"*{UNEDITED}"))
    check_number(folder / "images", len(stems), IMAGES, f"images <stem>{UNEDITED}", SOURCE.how)
    maps = present([f"salmap_{stem}" for stem in stems], folder / "saliency_gt", ".jpg.png", SOURCE.how)
    stems = [name.removeprefix("salmap_") for name in maps]
    fixations = _fixations(folder / "fixations", stems)
    samples = [_sample(folder, stem, points) for stem, points in fixations.items()]
    only_densities = "" if any(sample.fixations is not None for sample in samples) else ", as densities only"
    return Dataset(
        name="augsal_contrast100",
        samples=samples,
        whole=part_of(samples, IMAGES),
        gaze=f"mouse movements (SALICON){only_densities}",
        licence=SOURCE.licence,
        redistribute=True,
        citation="Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024",
    )


def _fixations(folder: Path, stems: Sequence[str]) -> dict[str, np.ndarray | None]:
    """{stem: float (N, 2), the points where they land in the squeezed image}; None without a folder of fixations."""
    if not folder.is_dir():
        return dict.fromkeys(stems)
    suffix = next((s for s in salicon.SUFFIXES if any(folder.glob(f"*{s}"))), salicon.SUFFIXES[0])
    stems = present(stems, folder, suffix, SOURCE.how)
    found = salicon.read_fixations("augsal_contrast100", [folder / f"{stem}{suffix}" for stem in stems], suffix)
    centres = [(points + 0.5) * _SCALE[::-1] for points, _ in found]
    return dict(zip(stems, centres, strict=True))


def _sample(folder: Path, stem: str, points: np.ndarray | None) -> Sample:
    read_density = partial(_density, folder / "saliency_gt" / f"salmap_{stem}.jpg.png")
    read_original = partial(read_image, folder / "images" / f"{stem}{UNEDITED}")
    sigma = None if points is None else SIGMA
    return Sample(stem, SIZE, read_original, fixations=points, read_density=read_density, sigma=sigma)


def _density(path):
    """The distributed map, resized bilinearly to the size of the image."""
    density = resize(read_map(path), SIZE)
    return check_density(density, SIZE, str(path))
