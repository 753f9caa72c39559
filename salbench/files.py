"""Reading images, maps, arrays and fixations; atomic writes; content hashes; the cache and shipped folders."""

import csv
import hashlib
import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import platformdirs
from PIL import ExifTags, Image, ImageOps

MAP_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".npy", ".mat")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
UPRIGHT, LYING = 1, (5, 6, 7, 8)  # EXIF orientations; the LYING ones swap height and width
MAX_PIXELS = 2**27  # 134 million; a larger picture is rejected as a decompression bomb


class FileProblem(ValueError):
    """A file is missing, empty, truncated or not of the expected kind. The message names the file."""


@contextmanager
def _reading(name: str, kind: str) -> Iterator[None]:
    """Turn every error that a missing or damaged file can cause into `FileProblem`; let errors of the disk pass."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileProblem(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{name}: expected a file with one {kind}, got a folder") from error
    except Exception as error:  # damage makes Pillow and NumPy raise ValueError, SyntaxError, TokenError, ...
        if isinstance(error, FileProblem) or getattr(error, "errno", None) is not None:
            raise
        raise FileProblem(f"{name}: not a readable {kind} (empty, truncated or corrupt): {error}") from error


@contextmanager
def _opened(source: Path | str | bytes, name: str) -> Iterator[Image.Image]:
    """Open a picture, given as a path or as the bytes of its file."""
    with _reading(name, "picture"), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS replaces Pillow's limit
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileProblem(
                    f"{name}: expected at most {MAX_PIXELS} pixels, got {image.width} x {image.height}; shrink it"
                )
            yield image


def image_size(path: Path | str) -> tuple[int, int]:
    """Return the (height, width) of the array that `read_image` returns; only the header is read.

    Raises:
        FileProblem: missing or unreadable file.
    """
    with _opened(path, str(path)) as image:
        return (image.width, image.height) if _orientation(image) in LYING else (image.height, image.width)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # the EXIF data are damaged; the picture may still be whole
        return UPRIGHT


def read_image(path: Path | str) -> np.ndarray:
    """Read an image as uint8 (height, width, 3) RGB, turned upright by its EXIF orientation.

    16-bit grey is scaled to 8 bits.

    Raises:
        FileProblem: missing or unreadable file, or 32 bits per channel (the value of white is unknown).
    """
    with _opened(path, str(path)) as image:
        upright = image if _orientation(image) == UPRIGHT else ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            return np.round(np.asarray(upright) / 257).astype(np.uint8)[..., None].repeat(3, axis=2)
        if upright.mode in ("I", "F"):
            raise FileProblem(f"{path}: expected 8 or 16 bits per channel, got 32; save it as an 8-bit PNG")
        return np.asarray(upright.convert("RGB"))


def read_map(source: Path | str | bytes, name: Path | str | None = None) -> np.ndarray:
    """Read a saliency map as a float32 or float64 (height, width) array of the stored values, without rescaling.

    A map is a picture (8- or 16-bit grey, palette, or RGB(A) with equal channels), a TIFF or EXR file of floats, an NPY
    array, or the only numeric variable of a MATLAB file. Axes of length one around height and width are dropped.

    Args:
        source: path of the file, or its bytes.
        name: file name for errors and for the file type; required with bytes.

    Raises:
        FileProblem: missing or unreadable file, a coloured or transparent picture, or an array of another shape.
        ModuleNotFoundError: an EXR or MATLAB 7.3 file needs a package that is not installed.
    """
    name = str(name or source)
    reader = _ARRAY_READERS.get(Path(name).suffix.lower(), _read_grey)
    return map_of_array(reader(source, name), name)


def map_of_array(array: np.ndarray, name: str) -> np.ndarray:
    """Return a stored array as a float32 or float64 (height, width) map.

    Args:
        array: (height, width); axes of length one before and after them are dropped.
        name: what holds the array, for the error.

    Raises:
        FileProblem: another shape, or anything but real numbers.
    """
    shape = array.shape
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise FileProblem(
            f"{name}: expected a map of shape (height, width), which axes of length one may surround, got shape {shape}"
        )
    if array.dtype.kind not in "fiub":
        raise FileProblem(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    return array.astype(np.float64 if array.dtype.itemsize > 4 or array.dtype.kind in "iu" else np.float32)


def _read_grey(source: Path | str | bytes, name: str) -> np.ndarray:
    with _opened(source, name) as image:
        if image.mode in ("L", "I", "F") or image.mode.startswith("I;16"):
            values = np.asarray(image)
        elif image.mode == "1":
            values = np.asarray(image.convert("L"))
        else:
            values = _grey_of_colour(np.asarray(image.convert("RGBA")), name)
    return values.astype(np.float64 if values.dtype.itemsize > 2 else np.float32)


def _grey_of_colour(rgba: np.ndarray, name: str) -> np.ndarray:
    if (rgba[..., 3] != 255).any():
        raise FileProblem(f"{name}: expected an opaque grey map, got transparent pixels; save it without alpha")
    if (rgba[..., :1] != rgba[..., 1:3]).any():
        raise FileProblem(f"{name}: expected a grey map, got a coloured picture; save the map itself, not a heat map")
    return rgba[..., 0]


def _read_tiff(source: Path | str | bytes, name: str) -> np.ndarray:
    """Read what Pillow reads with Pillow, which knows more compressions, and floats of 16 or 64 bits with tifffile."""
    import tifffile

    with _reading(name, "TIFF picture"), tifffile.TiffFile(io.BytesIO(_content(source))) as file:
        if len(file.pages) != 1:
            raise FileProblem(f"{name}: expected one picture in the file, got {len(file.pages)}")
        if file.pages.first.dtype in (np.float16, np.float64):
            return file.asarray()
    return _read_grey(source, name)


def _read_exr(source: Path | str | bytes, name: str) -> np.ndarray:
    import OpenEXR

    with _reading(name, "EXR picture"), OpenEXR.File(io.BytesIO(_content(source)), separate_channels=True) as file:
        first, *others = [channel.pixels for channel in file.channels().values()]
    if any(not np.array_equal(first, other) for other in others):
        raise FileProblem(f"{name}: expected a grey map, got {1 + len(others)} channels that differ; save one of them")
    return first


def _read_mat(source: Path | str | bytes, name: str) -> np.ndarray:
    with _reading(name, "MATLAB file"):
        content = _content(source)
    variables = (_variables_7_3 if content.startswith(b"MATLAB 7.3") else _variables)(content, name)
    if len(variables) != 1:
        raise FileProblem(
            f"{name}: expected one numeric variable, the map, found {', '.join(variables) or 'none'}; save only the map"
        )
    return next(iter(variables.values()))


def _variables(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The numeric variables of a MATLAB file up to version 7, by name."""
    from salbench.mat_files import read_variables

    with _reading(name, "MATLAB file"):
        found = read_variables(content)
    return {key: value for key, value in found.items() if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"}


def _variables_7_3(content: bytes, name: str) -> dict[str, np.ndarray]:
    """The numeric variables of a MATLAB 7.3 file, by name. Such a file is HDF5, with the axes in reverse order."""
    import h5py

    with _reading(name, "MATLAB file"), h5py.File(io.BytesIO(content), "r") as file:
        arrays = {key: value for key, value in file.items() if isinstance(value, h5py.Dataset)}
        is_text = {key: value.attrs.get("MATLAB_class") == b"char" for key, value in arrays.items()}
        return {k: value[()].T for k, value in arrays.items() if value.dtype.kind in "fiub" and not is_text[k]}


def _content(source: Path | str | bytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def read_npy(source: Path | str | bytes, name: Path | str | None = None) -> np.ndarray:
    """Read an .npy file with one array of real numbers. Never unpickles.

    Args:
        source: path of the file, or its bytes.
        name: file name for errors; required with bytes.

    Raises:
        FileProblem: missing or damaged file, or an array of anything but real numbers.
    """
    name = str(name or source)
    with _reading(name, "NPY array"), io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind not in "fiub":
        raise FileProblem(f"{name}: expected an array of real numbers, got dtype {array.dtype}")
    return array


_ARRAY_READERS = {  # file type -> reader; all others are pictures
    ".npy": read_npy,
    ".mat": _read_mat,
    ".tif": _read_tiff,
    ".tiff": _read_tiff,
    ".exr": _read_exr,
}


def read_fixations(path: Path | str, image: Path | str) -> np.ndarray:
    """Read the fixations of one image as a float (N, 2) array of the x, y that the file holds, unchecked.

    Args:
        path: an .npy file with an (N, 2 or more) array whose first columns are x and y; or a .csv file with columns x
            and y. A .csv file of several images also has a column image, with file names or stems.
        image: file name of the image.

    Raises:
        FileProblem: missing or unreadable file, or a file without x and y.
    """
    path, image = Path(path), Path(image)
    if path.suffix.lower() == ".npy":
        array = read_npy(path)
        if array.ndim != 2 or array.shape[1] < 2:
            raise FileProblem(f"{path}: expected an array of shape (N, 2) or wider, got {array.shape}")
        return array[:, :2].astype(np.float64)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"x", "y"} <= set(reader.fieldnames or ()):
                raise ValueError(f"its first line is {','.join(reader.fieldnames or ()) or 'empty'}")
            rows = [row for row in reader if _is_of(row.get("image", image.name), image)]
            return np.array([(float(row["x"]), float(row["y"])) for row in rows]).reshape(-1, 2)
    except FileNotFoundError as error:
        raise FileProblem(f"{path}: no such file") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise FileProblem(f"{path}: expected a .csv with columns x and y or an N x 2 .npy: {error}") from error


def _is_of(name: str, image: Path) -> bool:
    """Whether `name` is the file name or stem of `image`; any image suffix matches. A stem may hold dots."""
    path = Path(name)
    return name in (image.name, image.stem) or (path.suffix.lower() in IMAGE_SUFFIXES and path.stem == image.stem)


def user_cache() -> Path:
    """Return the folder for files that can be made again; on Linux $XDG_CACHE_HOME/salbench or ~/.cache/salbench."""
    return platformdirs.user_cache_path("salbench", appauthor=False)


def shipped(name: str, place: str) -> Path:
    """Return a folder that ships with salbench.

    Args:
        name: its name inside the installed package.
        place: its path inside a clone of the repository, such as "results/paper".
    """
    package = Path(__file__).resolve().parent
    return package / name if (package / name).is_dir() else package.parent / place


@contextmanager
def atomic_write(path: Path | str, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file that replaces `path` on success; on any error `path` stays untouched."""
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    with atomic_path(path) as temporary, open(temporary, mode, encoding=encoding, newline=newline) as file:
        yield file


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give the path of a temporary file that replaces `path` on success; on any error `path` stays untouched."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # name `path`, not the temporary file
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def hash_bytes(*parts: bytes | str) -> str:
    """Return the first 16 hex digits of the SHA-256 of `parts`, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else bytes(part)
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:16]


def hash_file(path: Path | str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a file's content, read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
