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
from salbench.datasets._common import Dataset, check_number, part_of, present
from salbench.datasets._source import Source, locate
from salbench.files import read_image, read_map
from salbench.maps import resize
from salbench.sample import Sample

IMAGES = 100
SIZE = (512, 512)
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
    samples = [_sample(folder, name.removeprefix("salmap_"), f"{name}.jpg.png") for name in maps]
    return Dataset(
        name="augsal_contrast100",
        samples=samples,
        whole=part_of(samples, IMAGES),
        gaze="mouse movements (SALICON), as densities only",
        licence=SOURCE.licence,
        redistribute=True,
        citation="Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024",
    )


def _sample(folder, stem, density):
    read_density = partial(_density, folder / "saliency_gt" / density)
    return Sample(stem, SIZE, partial(read_image, folder / "images" / f"{stem}{UNEDITED}"), read_density=read_density)


def _density(path):
    """The distributed map, resized bilinearly to the size of the image."""
    density = resize(read_map(path), SIZE)
    return check_density(density, SIZE, str(path))
