"""Images and maps from disk, files written whole or not at all, and content hashes."""

import csv
import hashlib
import io
import os
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

MAP_SUFFIXES = (".png", ".jpg", ".jpeg", ".npy")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
UPRIGHT, LYING = 1, (5, 6, 7, 8)  # orientations of EXIF; in the latter, rows are stored as columns
MAX_PIXELS = 2**27  # 134 million; a picture that unpacks to more is taken for a decompression bomb


class FileProblem(ValueError):
    """A file that is missing, empty, truncated or not what its name says; the message names it."""


@contextmanager
def _opened(source, name):
    """Open a picture (a path or bytes) and turn every way that a picture can be broken into `FileProblem`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS decides, not Pillow's limit
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise FileProblem(f"{name}: {image.width} x {image.height} pixels is more than {MAX_PIXELS}")
                yield image
    except FileNotFoundError as error:
        raise FileProblem(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{name}: expected a picture, got a folder") from error
    except Exception as error:  # a corrupt header leads Pillow into ValueError, TypeError, SyntaxError, ...
        if isinstance(error, FileProblem) or getattr(error, "errno", None) is not None:
            raise  # the disk's trouble, not the picture's
        raise FileProblem(f"{name}: not a readable picture (empty, truncated or corrupt): {error}") from error


def image_size(path):
    """(height, width) of a picture as `read_image` gives it, read from its header. Raises `FileProblem`."""
    with _opened(path, path) as image:
        return (image.width, image.height) if _orientation(image) in LYING else (image.height, image.width)


def _orientation(image):
    try:
        return image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # damaged EXIF data beside a picture that may be whole
        return UPRIGHT


def read_image(path):
    """Read a picture as uint8 (height, width, 3) RGB, upright as its EXIF data say, as people see it.

    16-bit grey is scaled to 8 bit.

    Raises:
        FileProblem: missing, truncated, or of 32 bits per channel, whose white is not known.
    """
    with _opened(path, path) as image:
        upright = image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            return np.round(np.asarray(upright) / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
        if upright.mode in ("I", "F"):
            raise FileProblem(f"{path}: expected a picture of 8 or 16 bits, got one of 32; save it as 8-bit PNG")
        return np.asarray(upright.convert("RGB"))


def read_map(source, name=None):
    """Read a saliency map as a float32 or float64 (height, width) array of the stored values.

    8- and 16-bit grey, palette and grey-valued RGB(A) pictures and NPY arrays are taken; nothing is rescaled.

    Args:
        source: a path, or the bytes of a file (then `name` tells its type).

    Raises:
        FileProblem: missing, truncated, coloured (three different channels), transparent, or an NPY that is
        not a plain 2-D numeric array.
    """
    name = str(name or source)
    if name.lower().endswith(".npy"):
        return _read_npy(source, name)
    with _opened(source, name) as image:
        if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
            values = np.asarray(image)
        elif image.mode == "1":
            values = np.asarray(image.convert("L"))
        else:
            values = _grey_of_colour(np.asarray(image.convert("RGBA")), name)
    return values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)


def _grey_of_colour(rgba, name):
    if (rgba[..., 3] != 255).any():
        raise FileProblem(f"{name}: expected an opaque grey map, got one with transparent pixels")
    if (rgba[..., :1] != rgba[..., 1:3]).any():
        raise FileProblem(f"{name}: expected a grey map, got a coloured picture (a heat map is not a saliency map)")
    return rgba[..., 0]


def _read_npy(source, name):
    try:
        array = np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False)
    except FileNotFoundError as error:
        raise FileProblem(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{name}: expected an array, got a folder") from error
    except OSError:
        raise
    except Exception as error:  # a corrupt header leads NumPy into ValueError, EOFError, TokenError, BadZipFile, ...
        raise FileProblem(f"{name}: not a readable NPY array: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiub":
        raise FileProblem(f"{name}: expected one 2-D numeric array, got {getattr(array, 'shape', type(array))}")
    return array.astype(np.float64 if array.dtype.itemsize > 4 or array.dtype.kind in "iu" else np.float32)


def read_fixations(path, image):
    """Fixations of one image, float (N, 2) array of x, y, as they are in the file.

    Args:
        path: of an .npy with an (N, 2 or more) array of x, y, or of a .csv whose header has x and y, and image (file
            name or stem) if it holds the fixations of several.
        image: file name of the image.

    Raises:
        FileProblem: a file that is missing or not what its name says.
    """
    path, image = Path(path), Path(image)
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)[:, :2]
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"x", "y"} <= set(reader.fieldnames or ()):
                raise ValueError(f"its first line is {','.join(reader.fieldnames or ()) or 'empty'}")
            rows = [row for row in reader if _is_of(row.get("image", image.name), image)]
            return np.array([(float(row["x"]), float(row["y"])) for row in rows]).reshape(-1, 2)
    except FileNotFoundError as error:
        raise FileProblem(f"{path}: no such file") from error
    except (ValueError, TypeError, IndexError, EOFError, csv.Error) as error:
        raise FileProblem(f"{path}: expected a .csv with columns x and y or an N x 2 .npy: {error}") from error


def _is_of(name, image):
    """Whether a file name or stem means an image, whatever its ending; a stem may hold dots, as cat_contrast_1.5."""
    path = Path(name)
    return name in (image.name, image.stem) or (path.suffix.lower() in IMAGE_SUFFIXES and path.stem == image.stem)


def user_cache():
    """The folder for what can be made again: $XDG_CACHE_HOME/salbench, else ~/.cache/salbench."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "salbench"


def shipped(name: str, place: str) -> Path:
    """A folder that ships with salbench: `name` in the installed package, or `place` in a clone of the repository."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / place


@contextmanager
def atomic_write(path, mode="w"):
    """Open a temporary file beside `path`; on success it replaces `path`, on any error `path` is untouched."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the name of the temporary file
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with os.fdopen(handle, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def hash_bytes(*parts):
    """First 16 hex digits of the SHA-256 of `parts` (bytes or str), each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        part = part.encode() if isinstance(part, str) else bytes(part)
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:16]


def hash_file(path):
    """First 16 hex digits of the SHA-256 of a file's content, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
