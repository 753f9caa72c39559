"""A hundred SALICON images as the diffusion model of Aydemir et al. reconstructs them: their contrast edits' originals.

Layout below the data root, as the authors released it, under CC BY-SA 4.0 (share alike: what is made of them too)::

    augsal_contrast100/images/<stem>.jpgedited_image1.0.jpg     512 x 512; other strengths are edits of the same stems
    augsal_contrast100/saliency_gt/salmap_<stem>.jpg.png        256 x 256, 8 bit: SALICON's density of the image
    augsal_contrast100/selected/                                regions of the edits, see `salbench.edits`

The stem is that of COCO's file, as in salicon_train, of whose images these are a part. There are no fixations, so that
the set is for training, and the image stays 512 x 512 (COCO's 640 x 480, squeezed by the authors).

Paper: Aydemir, Bhattacharjee, Zhang, Salzmann, Süsstrunk: Data augmentation via latent diffusion for saliency
prediction, ECCV 2024.
"""

from functools import partial

from salbench.checks import check_density
from salbench.datasets._common import NO_DOWNLOAD, Dataset, DatasetProblem, require_files
from salbench.files import read_image, read_map
from salbench.maps import resize
from salbench.sample import Sample

IMAGES = 100
SIZE = (512, 512)
UNEDITED = ".jpgedited_image1.0.jpg"
HOW = (
    "AugSal: put the folders images/, saliency_gt/ and selected/ of the hundred contrast edits that Aydemir et al. "
    "released with their code as augsal_contrast100/ in the data root (--data-root or $SALBENCH_DATA)."
)


def load(split, root):
    """Open the originals; there is one split, "all".

    Raises:
        DatasetProblem: files that are missing.
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
    """The distributed map at the size of its image, resized bilinearly."""
    density = resize(read_map(path), SIZE)
    return check_density(density, SIZE, str(path))
