"""Your own images and fixations: folder:DIR, or folder:LABEL=DIR to label the results.

Layout (only the images are required)::

    DIR/images/*.jpg, *.png, ...        or DIR/*.jpg, *.png, ...; ids are the stems; sizes may differ
    DIR/fixations.csv                   header image,x,y[,observer]; image is a file name or stem
    DIR/fixations/<stem>.csv            header x,y[,observer]
    DIR/fixations/<stem>.npy            N x 2 or N x 3: x, y[, observer]; or a map of counts, height x width
    DIR/fixations/<stem>.mat            one numeric variable, N x 2, N x 3 or a map of counts; or SALICON's gaze
    DIR/maps/<stem>.png, .jpg, .npy     one density per image to score against; otherwise made from the fixations
    DIR/captions.csv                    header image,caption; one sentence per image, for methods that read captions

Give fixations.csv or the folder fixations/, not both. Without either, methods can predict but are not scored. x comes
first. In .csv and .npy files pixels count from 0, and pixel i covers [i, i + 1). In .mat files pixels count from 1, as
in MATLAB, and 1 is subtracted. Observers are any text in .csv files and whole numbers elsewhere. Single images may
lack fixations or a caption. Densities are blurred with a Gaussian of 3 % of the longer side of each image.
"""

import csv
from functools import partial
from pathlib import Path

import numpy as np

from salbench.checks import fixated_pixels
from salbench.datasets._common import Dataset, DatasetProblem, check_inside, default_sigma, read_density
from salbench.datasets._mat import gaze_points, read_mat
from salbench.files import IMAGE_SUFFIXES, MAP_SUFFIXES, FileProblem, image_size, read_image, read_npy
from salbench.sample import Sample

FIXATION_SUFFIXES = (".csv", ".npy", ".mat")
HINT = "Give x first, in pixels of the image, counted from 0 in .csv and .npy files and from 1 in .mat files."


def load(split: str, root: Path) -> Dataset:
    """Open the folder `root`. The only split is "all".

    Raises:
        DatasetProblem: no images, damaged or contradictory files, or fixations off their image or without an image.
    """
    if not root.is_dir():
        raise DatasetProblem(f"folder: expected a folder at {root}, found none")
    images = _files_by_stem(root / "images" if (root / "images").is_dir() else root, IMAGE_SUFFIXES, strict=False)
    if not images:
        raise DatasetProblem(f"{root}: expected images ({', '.join(IMAGE_SUFFIXES)}) here or in images/, found none")
    try:
        sizes = {stem: image_size(path) for stem, path in images.items()}
    except FileProblem as error:
        raise DatasetProblem(str(error)) from error
    gaze = _read_fixations(root, images, sizes)
    maps, captions = _find_maps(root / "maps", images), _read_captions(root / "captions.csv", images)
    samples = []
    for stem, path in images.items():
        size, (fixations, observers) = sizes[stem], gaze[stem]
        samples.append(
            Sample(
                id=stem,
                size=size,
                read_image=partial(read_image, path),
                fixations=fixations,
                observers=observers,
                read_density=partial(read_density, maps[stem], size) if maps else None,
                sigma=default_sigma(size),
                caption=captions.get(stem),
            )
        )
    return Dataset(
        name="folder",
        samples=samples,
        gaze="as its owner recorded it",
        licence="as its owner grants it",
        citation="none: your own images",
    )


def _files_by_stem(folder, suffixes, strict=True):
    """{stem: path} of the files in `folder`, sorted; raises an error for other suffixes if `strict`."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix.lower() not in suffixes:
            if strict:
                raise DatasetProblem(f"{path}: expected one of {', '.join(suffixes)} in this folder; move it elsewhere")
            continue
        if path.stem in found:
            raise DatasetProblem(f"{folder}: {found[path.stem].name} and {path.name} share a stem; rename one of them")
        found[path.stem] = path
    return found


def _find_maps(folder, images):
    if not folder.is_dir():
        return {}
    maps = _files_by_stem(folder, MAP_SUFFIXES)
    missing = [stem for stem in images if stem not in maps]
    if missing:
        raise DatasetProblem(
            f"{folder}: expected one map per image, found none for {len(missing)} of {len(images)}, such as "
            f"{missing[0]}; add them, or remove the folder to make all densities from the fixations"
        )
    return maps


def _read_fixations(root, images, sizes):
    """{stem: (fixations, observers)}; both None if the folder holds no fixations."""
    table, folder = root / "fixations.csv", root / "fixations"
    if table.exists() and folder.exists():
        raise DatasetProblem(f"{root}: expected fixations.csv or fixations/, found both; remove one of them")
    if table.exists():
        gaze = _read_table(table, images, sizes)
    elif folder.exists():
        gaze = _read_folder(folder, images, sizes)
    else:
        return dict.fromkeys(images, (None, None))
    if not any(len(fixations) for fixations, _ in gaze.values()):
        raise DatasetProblem(f"{root}: expected fixations, found none; remove the empty file or folder to predict only")
    return {stem: gaze.get(stem, (np.empty((0, 2)), None)) for stem in images}


def _read_captions(path, images):
    """{stem: caption} of the images that have a caption."""
    if not path.exists():
        return {}
    names, captions, lines = [], [], []
    for line, (name, caption) in _rows(path, ["image", "caption"]):
        names.append(name)
        captions.append(caption)
        lines.append(line)
    found = {}
    for stem, caption, line in zip(_stems(names, lines, images, path), captions, lines, strict=True):
        if stem in found:
            raise DatasetProblem(f"{path}: line {line}: expected one caption per image, got a second for {stem!r}")
        if caption:
            found[stem] = caption
    return found


def _stems(names, lines, images, path):
    """The stem of the image that each name in a table (a file name or stem) refers to."""
    by_name = {stem: stem for stem in images} | {image.name: stem for stem, image in images.items()}
    unknown = sorted(set(names) - set(by_name))
    if unknown:
        raise DatasetProblem(
            f"{path}: {len(unknown)} names match no image, such as {unknown[0]!r} in line "
            f"{lines[names.index(unknown[0])]}; expected file names or stems, such as {next(iter(images))!r}"
        )
    return [by_name[name] for name in names]


def _read_table(path, images, sizes):
    """{stem: (fixations, observers)} of a CSV file for all images."""
    names, numbers, lines = _read_csv(path, ["image", "x", "y"])
    stems = np.array(_stems(names, lines, images, path))
    gaze = {}
    for stem in np.unique(stems).tolist():
        rows = stems == stem
        gaze[stem] = _split_columns(numbers[rows], sizes[stem], f"{path}, image {stem}", lines[rows])
    return gaze


def _read_folder(folder, images, sizes):
    """{stem: (fixations, observers)} of a folder with one file per image."""
    if not folder.is_dir():
        raise DatasetProblem(f"{folder}: expected a folder of .csv, .npy or .mat files, found a file")
    files = _files_by_stem(folder, FIXATION_SUFFIXES)
    unknown = [path for stem, path in files.items() if stem not in images]
    if unknown:
        raise DatasetProblem(
            f"{folder}: {len(unknown)} files have no image of the same stem, such as {unknown[0].name}; rename or "
            "remove them"
        )
    readers = {".csv": _read_one_csv, ".npy": _read_npy, ".mat": _read_one_mat}
    return {stem: readers[path.suffix.lower()](path, sizes[stem]) for stem, path in files.items()}


def _read_csv(path, columns):
    """Read a CSV file with `columns` (x, y, perhaps image before them) and perhaps observer.

    Returns:
        (names, numbers, lines): the images as a list of str (empty without that column), x, y[, observer] as a float
        (N, 2 or 3) array, and the (N,) line numbers in the file.
    """
    names, numbers, observers, lines, first = [], [], [], [], columns.index("x")
    for line, cells in _rows(path, columns, [*columns, "observer"]):
        names += cells[:first]
        numbers.append(_to_numbers(cells[first : first + 2], f"{path}: line {line}"))
        observers += cells[first + 2 :]
        lines.append(line)
    points = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    if observers:  # any text; numbered, because only their identity counts
        points = np.column_stack([points, np.unique(observers, return_inverse=True)[1]])
    return names, points, np.array(lines)


def _rows(path, *headers):
    """Yield (line number, cells) of each row of a CSV file whose header is one of `headers`."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # -sig skips the mark that Excel writes
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if header not in headers:
                expected = " or ".join(",".join(names) for names in headers)
                raise DatasetProblem(f"{path}: expected the header {expected}, got {','.join(header)!r}")
            for row in filter(None, reader):  # skips blank lines
                if len(row) != len(header):
                    raise DatasetProblem(
                        f"{path}: line {reader.line_num}: expected {len(header)} cells, got {len(row)}; put cells with "
                        "commas in double quotes"
                    )
                yield reader.line_num, [cell.strip() for cell in row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetProblem(f"{path}: not a readable CSV in UTF-8: {error}") from error


def _to_numbers(cells, where):
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        numbers = [np.nan]
    if not np.isfinite(numbers).all():
        raise DatasetProblem(f"{where}: expected x and y as numbers with a decimal point, got {', '.join(cells)!r}")
    return numbers


def _read_one_csv(path, size):
    _, numbers, lines = _read_csv(path, ["x", "y"])
    return _split_columns(numbers, size, path, lines)


def _read_npy(path, size):
    try:
        array = read_npy(path)
    except FileProblem as error:
        raise DatasetProblem(str(error)) from error
    return _fixations_of_array(array, size, path, base=0)


def _read_one_mat(path, size):
    variables = read_mat(path)
    if "gaze" in variables:
        points, observers = gaze_points(variables["gaze"], path)
        return _split_columns(np.column_stack([points.astype(np.float64) - 1, observers]), size, path)
    numeric = [v for v in variables.values() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"]
    if len(numeric) != 1:
        raise DatasetProblem(
            f"{path}: expected the variable gaze or one numeric variable, found {len(numeric)} numeric ones among "
            f"{', '.join(variables) or 'no variables'}; save only the fixations"
        )
    return _fixations_of_array(numeric[0], size, path, base=1)


def _fixations_of_array(array, size, path, base):
    """(fixations, observers) of an N x 2 or N x 3 array counted from `base`, or of a map of counts."""
    if array.shape == size:
        return _points_of_counts(array, path), None
    if array.size == 0:
        return np.empty((0, 2)), None
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise DatasetProblem(
            f"{path}: expected N x 2 (x, y), N x 3 (x, y, observer) or a map of counts of {size[0]} x {size[1]} "
            f"(height, width), got shape {array.shape}"
        )
    numbers = array.astype(np.float64)
    numbers[:, :2] -= base
    return _split_columns(numbers, size, path)


def _points_of_counts(counts, path):
    try:
        index, count = fixated_pixels(counts, counts.shape, str(path))
    except ValueError as error:
        raise DatasetProblem(str(error)) from error
    rows, columns = np.divmod(np.repeat(index, count), counts.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)


def _split_columns(numbers, size, source, lines=None):
    """(fixations, observers) of columns x, y[, observer], which count from 0 and are checked here."""
    fixations, observers = numbers[:, :2], numbers[:, 2:].ravel()
    check_inside(fixations, size, source, HINT, lines)
    if numbers.shape[1] == 2:
        return fixations, None
    wrong = observers[~(np.abs(observers) < 2**53) | (observers != np.floor(observers))]
    if len(wrong):
        raise DatasetProblem(f"{source}: expected whole numbers as observers, got {wrong[0]:g}; number the observers")
    return fixations, observers.astype(np.int64)
