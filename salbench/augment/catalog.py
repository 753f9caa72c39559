"""The table of augmentations and presets, and looking them up by name.

The parameters come from two papers:

- Che, Borji, Zhai, Min, Guo, Le Callet: How is gaze influenced by image transformations? Dataset and model, IEEE
  Transactions on Image Processing 29, 2020. Not all parameters are known; `CHE18_FOLDERS` says how certain each is.
- Aydemir, Bhattacharjee, Zhang, Salzmann, Süsstrunk: Data augmentation via latent diffusion for saliency prediction,
  ECCV 2024, the ablation. Its released script computes something else for some names: a vertical Gaussian for motion
  blur, and no noise for noise. Here every augmentation does what its name says.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from salbench import plugins
from salbench.augment import filters, moves
from salbench.augment.augmentation import Augmentation
from salbench.files import hash_bytes
from salbench.suggestions import suggestion

_CHE = "Che et al. 2020"
_PAPER = "Aydemir et al. 2024, released script"
_OURS = "salbench"
GROUP = "salbench.augmentations"


class AugmentationProblem(ValueError):
    """An augmentation cannot be found or loaded. The message names it and says what to do."""


def _photometric(name, function, summary, source, **parameters):
    return Augmentation(name, "photometric", function, parameters, summary, source)


def _geometric(name, function, summary, source, *, crops=False, **parameters):
    return Augmentation(name, "geometric", function, parameters, summary, source, crops)


def _squashed(name, function, summary, certainty, **parameters):
    parameters = {**parameters, "canvas": "squashed", "fill_grey": 128}
    summary = f"{summary}, whole result squashed to the image's size, grey fill"
    return Augmentation(f"{name}_squashed", "geometric", function, parameters, summary, f"{_CHE}; {certainty}")


_ROWS = (
    _geometric("rotate_90", moves.rotate, "90 degrees clockwise, same canvas, black fill", _PAPER, clockwise_deg=90),
    _geometric("rotate_270", moves.rotate, "270 degrees clockwise, same canvas, black fill", _PAPER, clockwise_deg=270),
    _geometric("vflip", moves.flip, "upside down (rows reversed)", f"{_PAPER}: Mirroring", axis="y"),
    _geometric("hflip", moves.flip, "left to right (columns reversed)", f"{_CHE}; {_PAPER}: Horizontal", axis="x"),
    _geometric("crop_128", moves.crop_window, "random window of 128 x 128 px", _PAPER, crops=True, side_px=128),
    _geometric("crop_256", moves.crop_window, "random window of 256 x 256 px", _PAPER, crops=True, side_px=256),
    _photometric("jpeg_q5", filters.jpeg, "JPEG, quality 5", _CHE, quality=5),
    _photometric(
        "motion_blur_15_0",
        filters.motion_blur,
        "motion blur, horizontal line of 15 px",
        _CHE,
        length_px=15,
        angle_deg=0,
    ),
    _photometric("invert", filters.invert, "negative, 255 - v", _PAPER),
    _photometric("noise_var_0.1", filters.noise, "Gaussian noise, variance 0.1 of intensity 0..1", _CHE, variance=0.1),
    _photometric(
        "contrast_stretch_0.3_0.7",
        filters.contrast,
        "intensities 0.3..0.7 stretched to 0..1",
        f"{_CHE}; medium confidence",
        input_range=(0.3, 0.7),
        output_range=(0.0, 1.0),
    ),
    _geometric("shear_x_0.5", moves.shear, "x' = x + 0.5 y, same canvas, black fill", _CHE, x_per_y=0.5),
    _geometric(
        "rotate_-45", moves.rotate, "45 degrees clockwise (MATLAB's -45), same canvas", _PAPER, clockwise_deg=45
    ),
    _geometric(
        "rotate_-135", moves.rotate, "135 degrees clockwise (MATLAB's -135), same canvas", _PAPER, clockwise_deg=135
    ),
    _photometric(
        "motion_blur_35_90",
        filters.motion_blur,
        "motion blur, vertical line of 35 px",
        _CHE,
        length_px=35,
        angle_deg=90,
    ),
    _photometric("noise_var_0.2", filters.noise, "Gaussian noise, variance 0.2 of intensity 0..1", _CHE, variance=0.2),
    _photometric(
        "contrast_squeeze_0.4_0.6",
        filters.contrast,
        "intensities 0..1 squeezed to 0.4..0.6",
        _CHE,
        input_range=(0.0, 1.0),
        output_range=(0.4, 0.6),
    ),
    _photometric("jpeg_q0", filters.jpeg, "JPEG, quality 0 (libjpeg uses 1)", _CHE, quality=0),
    _geometric("shear_y_0.5", moves.shear, "y' = y + 0.5 x, same canvas, black fill", _CHE, y_per_x=0.5),
    _geometric(
        "shear_xy_0.5", moves.shear, "x' = x + 0.5 y, y' = y + 0.5 x, same canvas", _CHE, x_per_y=0.5, y_per_x=0.5
    ),
    _photometric(
        "canny",
        filters.canny,
        "Canny edges, threshold 0.3 of the strongest gradient, sigma sqrt(2) px",
        f"{_CHE}; medium confidence",
        threshold=0.3,
        sigma_px=2**0.5,
    ),
    _geometric(
        "crop_left_200",
        moves.crop_band,
        "cuts 200 px off the left edge",
        _CHE,
        crops=True,
        edge="left",
        band_px=200,
    ),
    _geometric(
        "crop_top_200",
        moves.crop_band,
        "cuts 200 px off the top edge",
        _CHE,
        crops=True,
        edge="top",
        band_px=200,
    ),
    _geometric("rot90_cw", moves.rotate, "quarter turn clockwise, lossless", _OURS, clockwise_deg=90, canvas="loose"),
    _geometric("rot90_180", moves.rotate, "half turn, lossless", _OURS, clockwise_deg=180, canvas="loose"),
    _geometric(
        "rot90_ccw", moves.rotate, "quarter turn counter-clockwise, lossless", _OURS, clockwise_deg=270, canvas="loose"
    ),
    _geometric(
        "random_zoom",
        moves.zoom,
        "random window of at least 70 % of the height, enlarged",
        _OURS,
        least_share=0.7,
        aspect=1.1,
    ),
    _photometric(
        "color_jitter",
        filters.color_jitter,
        "random saturation, channel gains and gamma",
        _OURS,
        saturation=(0.0, 1.3),
        gain=(0.8, 1.2),
        gamma=(0.75, 1.33),
    ),
    _squashed("rotate_-45", moves.rotate, "45 degrees clockwise", "canvas recalled", clockwise_deg=45),
    _squashed("rotate_-135", moves.rotate, "135 degrees clockwise", "canvas recalled", clockwise_deg=135),
    _squashed("shear_x_0.5", moves.shear, "x' = x + 0.5 y", "recalled", x_per_y=0.5),
    _squashed("shear_y_0.5", moves.shear, "y' = y + 0.5 x", "verified on a published picture", y_per_x=0.5),
    _squashed("shear_xy_0.5", moves.shear, "x' = x + 0.5 y, y' = y + 0.5 x", "recalled", x_per_y=0.5, y_per_x=0.5),
)
_CATALOG = {row.name: row for row in _ROWS}
_FOLDERS: list[Path] = []  # of the user's own augmentations

# Folder of the published data set (1920 x 1080 images) -> (augmentation, how certain its parameters are).
CHE18_FOLDERS = {
    "MotionBlur_1": ("motion_blur_15_0", "high"),
    "MotionBlur_2": ("motion_blur_35_90", "high"),
    "Noise_1": ("noise_var_0.1", "high"),
    "Noise_2": ("noise_var_0.2", "high"),
    "Compression_1": ("jpeg_q5", "high"),
    "Compression_2": ("jpeg_q0", "high"),
    "ContrastChange_1": ("contrast_stretch_0.3_0.7", "medium: unclear which argument of imadjust it is"),
    "ContrastChange_2": ("contrast_squeeze_0.4_0.6", "medium"),
    "Rotation_1": ("rotate_-45_squashed", "angle high, canvas recalled"),
    "Rotation_2": ("rotate_-135_squashed", "angle high, canvas recalled"),
    "Shearing_1": ("shear_x_0.5_squashed", "recalled"),
    "Shearing_2": ("shear_y_0.5_squashed", "verified on a published picture; the grey is a guess"),
    "Shearing_3": ("shear_xy_0.5_squashed", "recalled"),
    "Inversion": ("vflip", "recalled: upside down, either flipped or turned by 180 degrees"),
    "Mirroring": ("hflip", "recalled"),
    "Boundary": ("canny", "medium"),
    "Cropping_1": ("crop_left_200", "low: the band may be what is kept, or the rest be stretched"),
    "Cropping_2": ("crop_top_200", "low: the band may be what is kept, or the rest be stretched"),
}

PRESETS = {
    "paper12": (
        "rotate_90",
        "rotate_270",
        "vflip",
        "hflip",
        "crop_128",
        "crop_256",
        "jpeg_q5",
        "motion_blur_15_0",
        "invert",
        "noise_var_0.1",
        "contrast_stretch_0.3_0.7",
        "shear_x_0.5",
    ),
    "che18": tuple(name for name, _ in CHE18_FOLDERS.values()),
}


def names() -> list[str]:
    """Return the sorted names of all augmentations, with those of other installed packages. Imports nothing."""
    return sorted({*_CATALOG, *plugins.declared(GROUP)})


def get(name: str) -> Augmentation:
    """Return an augmentation by name. One of another package is imported.

    Raises:
        AugmentationProblem: an unknown name (the message suggests one), a name that several packages define, or an
            augmentation that cannot be imported.
    """
    if name not in _CATALOG and name not in plugins.declared(GROUP):
        raise AugmentationProblem(suggestion("augmentation", name, names()))
    try:
        plugins.check_owner(GROUP, name, (*_CATALOG, *PRESETS))
        found = _CATALOG[name] if name in _CATALOG else plugins.load(GROUP, name, Augmentation)
    except plugins.PluginProblem as problem:
        raise AugmentationProblem(f"augmentation {problem}") from problem
    if found.name != name:
        raise AugmentationProblem(
            f"augmentation {name!r}: expected the name of its entry point, got {found.name!r} ({found.source}); "
            "rename one of them"
        )
    return found


def select(text: str) -> list[str]:
    """Return the augmentations in a comma-separated list of augmentations and presets, each once.

    Raises:
        AugmentationProblem: an unknown name, or an empty list.
    """
    selected: dict[str, None] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        if word not in PRESETS and word not in names():
            raise AugmentationProblem(suggestion("augmentation", word, sorted([*PRESETS, *names()])))
        selected |= dict.fromkeys(PRESETS.get(word, (word,)))
    if not selected:
        raise AugmentationProblem(f"expected a comma-separated list of augmentations or presets, got {text!r}")
    return list(selected)


def add_folder(folder: Path | str) -> None:
    """Add the augmentations in the Python files of `folder`: functions with @photometric or @geometric.

    Files whose names start with an underscore are ignored. Adding a folder twice has no further effect.

    Raises:
        AugmentationProblem: no such folder, a file that cannot be imported or defines none, or a name in use.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise AugmentationProblem(f"{folder}: expected a folder with Python files")
    files = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]
    if not files:
        raise AugmentationProblem(f"{folder}: expected Python files with augmentations, found none")
    added: dict[str, Augmentation] = {}
    for path in files:
        for augmentation in _load(path):
            other = {**_CATALOG, **added}.get(augmentation.name)
            reserved = augmentation.name in PRESETS or augmentation.name in plugins.declared(GROUP)
            if reserved or (other and other.source != augmentation.source):
                raise AugmentationProblem(f"{path}: the name {augmentation.name!r} is in use; rename the function")
            added[augmentation.name] = augmentation
    _CATALOG.update({name: augmentation for name, augmentation in added.items() if name not in _CATALOG})
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)


def own_folders() -> list[Path]:
    """The folders given to `add_folder`."""
    return list(_FOLDERS)


def replace_own_folders(folders: Iterable[Path]) -> None:
    """Use the augmentations in these folders instead of those given to `add_folder`, and read their files again."""
    for name in _CATALOG.keys() - {row.name for row in _ROWS}:
        del _CATALOG[name]
    _FOLDERS.clear()
    for folder in folders:
        add_folder(folder)


def _load(path):
    """The augmentations that a file defines, without those that it imports."""
    name = f"_salbench_augmentations_{hash_bytes(str(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise AugmentationProblem(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    found = [value for value in vars(module).values() if isinstance(value, Augmentation)]
    own = [augmentation for augmentation in found if augmentation.function.__module__ == name]
    if not own:
        raise AugmentationProblem(f"{path}: expected a function with @photometric or @geometric, found none")
    return own
