"""100 SALICON images reconstructed by the diffusion model of Aydemir et al.: the originals of their contrast edits.

Layout below the data root, as the authors released it under CC BY-SA 4.0 (share alike: also what is made from them)::

    augsal_contrast100/images/<stem>.jpgedited_image1.0.jpg     512 x 512; other strengths are edits of the same stems
    augsal_contrast100/saliency_gt/salmap_<stem>.jpg.png        256 x 256, 8 bit: SALICON's density of the image
    augsal_contrast100/selected/                                regions of the edits, see `salbench.edits`

The images are a part of salicon_train; stems are those of COCO's files. The authors squeezed COCO's 640 x 480 to
512 x 512, and the images stay that size. There are no fixations, so the set serves for training only.

Paper: Aydemir, Bhattacharjee, Zhang, Salzmann, Süsstrunk: Data augmentation via latent diffusion for saliency
prediction, ECCV 2024.
"""

from functools import partial
from pathlib import Path

from salbench.checks import check_density
from salbench.datasets._common import NO_DOWNLOAD, Dataset, DatasetProblem, require_files
from salbench.files import read_image, read_map
from salbench.maps import resize
from salbench.sample import Sample

IMAGES = 100
SIZE = (512, 512)
UNEDITED = ".jpgedited_image1.0.jpg"
HOW = (
    "AugSal: Aydemir et al. released 100 contrast edits with their code. Put its folders images/, saliency_gt/ and "
    "selected/ in a folder augsal_contrast100 in the data root (--data-root or $SALBENCH_DATA)."
)


def load(split: str, root: Path) -> Dataset:
    """Open the originals. The only split is "all".

    Raises:
        DatasetProblem: missing files.
    """
    folder = root / "augsal_contrast100"
    stems = sorted(path.name.removesuffix(UNEDITED) for path in (folder / "images").glob(f"*{UNEDITED}"))
    if len(stems) != IMAGES:
        raise DatasetProblem(
            f"{folder / 'images'}: expected {IMAGES} images <stem>{UNEDITED}, found {len(stems)}. {HOW} {NO_DOWNLOAD}"
        )
    maps = {stem: f"salmap_{stem}.jpg.png" for stem in stems}
    require_files(folder / "saliency_gt", list(maps.values()), HOW)
    return Dataset(
        name="augsal_contrast100",
        samples=[_sample(folder, stem, maps[stem]) for stem in stems],
        gaze="mouse movements (SALICON), as densities only",
        licence="CC BY-SA 4.0",
        citation="Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024",
    )


def _sample(folder, stem, density):
    read_density = partial(_density, folder / "saliency_gt" / density)
    return Sample(stem, SIZE, partial(read_image, folder / "images" / f"{stem}{UNEDITED}"), read_density=read_density)


def _density(path):
    """The distributed map, resized bilinearly to the size of the image."""
    density = resize(read_map(path), SIZE)
    return check_density(density, SIZE, str(path))
