"""Your own images and fixations: folder:DIR, or folder:NAME=DIR to name the results.

Layout (only the images are needed)::

    DIR/images/*.jpg, *.png, ...        or the images in DIR itself; ids are the stems, sizes may differ
    DIR/fixations.csv                   header image,x,y[,observer]; image is a file name or a stem
    DIR/fixations/<stem>.csv            header x,y[,observer]
    DIR/fixations/<stem>.npy            N x 2 or N x 3: x, y[, observer]; or a map of counts, height x width
    DIR/fixations/<stem>.mat            one numeric variable, N x 2, N x 3 or a map of counts; or SALICON's gaze
    DIR/maps/<stem>.png, .jpg, .npy     densities to score against, one per image; made from fixations otherwise
    DIR/captions.csv                    header image,caption; one sentence for an image, for the methods that read it

There is either fixations.csv or the folder fixations, or neither: then methods can predict on the images, but not
be scored. x comes first and counts pixels from 0 in .csv and .npy files; pixel i covers [i, i + 1). In .mat files
it counts from 1, as in MATLAB, and 1 is subtracted. Observers are any text in .csv files, else whole numbers. An
image without fixations or caption is allowed. The Gaussian is 3 % of the longer side of each image.
"""

import csv
from functools import partial

import numpy as np

from salbench.checks import fixated_pixels
from salbench.datasets._common import Dataset, DatasetProblem, check_inside, default_sigma, read_density
from salbench.datasets._mat import gaze_points, read_mat
from salbench.files import IMAGE_SUFFIXES, MAP_SUFFIXES, FileProblem, image_size, read_image
from salbench.sample import Sample

FIXATION_SUFFIXES = (".csv", ".npy", ".mat")
HINT = "Give x first, in pixels of the image; .csv and .npy count from 0, .mat from 1."


def load(split, root):
    """Open the folder `root`; there is one split, "all".

    Raises:
        DatasetProblem: no images, broken or contradictory files, fixations off their image or of no image.
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
        size = sizes[stem]
        density = partial(read_density, maps[stem], size) if maps else None
        reader = partial(read_image, path)
        caption = captions.get(stem)
        samples.append(Sample(stem, size, reader, *gaze[stem], density, default_sigma(size), caption=caption))
    return Dataset(
        name="folder",
        samples=samples,
        gaze="as its owner recorded it",
        licence="as its owner grants it",
        citation="none, a folder of your own",
    )


def _files_by_stem(folder, suffixes, strict=True):
    """{stem: path} of the files in `folder` in rising order; `strict` refuses files of other types."""
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
            f"{missing[0]}; add them, or remove the folder and have all maps made from the fixations"
        )
    return maps


def _read_fixations(root, images, sizes):
    """{stem: (fixations, observers)}; both None where the folder gives no fixations at all."""
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
        raise DatasetProblem(f"{root}: expected fixations, found not one; remove the empty file or folder to predict")
    return {stem: gaze.get(stem, (np.empty((0, 2)), None)) for stem in images}


def _read_captions(path, images):
    """{stem: caption} of the images that have one."""
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
            raise DatasetProblem(f"{path}: line {line}: expected one caption for an image, got another for {stem!r}")
        if caption:
            found[stem] = caption
    return found


def _stems(names, lines, images, path):
    """The stems of the images that a table means by its names, file names or stems."""
    by_name = {stem: stem for stem in images} | {image.name: stem for stem, image in images.items()}
    unknown = sorted(set(names) - set(by_name))
    if unknown:
        raise DatasetProblem(
            f"{path}: rows for {len(unknown)} unknown images, the first {unknown[0]!r} in line "
            f"{lines[names.index(unknown[0])]}; expected a file name or a stem such as {next(iter(images))!r}"
        )
    return [by_name[name] for name in names]


def _read_table(path, images, sizes):
    """{stem: (fixations, observers)} of a CSV that holds all images."""
    names, numbers, lines = _read_csv(path, ["image", "x", "y"])
    stems = np.array(_stems(names, lines, images, path))
    gaze = {}
    for stem in np.unique(stems).tolist():
        rows = stems == stem
        gaze[stem] = _split_columns(numbers[rows], sizes[stem], f"{path}, image {stem}", lines[rows])
    return gaze


def _read_folder(folder, images, sizes):
    """{stem: (fixations, observers)} of a folder that holds one file per image."""
    if not folder.is_dir():
        raise DatasetProblem(f"{folder}: expected a folder of .csv, .npy or .mat files, found a file")
    files = _files_by_stem(folder, FIXATION_SUFFIXES)
    unknown = [path for stem, path in files.items() if stem not in images]
    if unknown:
        raise DatasetProblem(
            f"{unknown[0]}: {len(unknown)} files such as this have no image of the same stem; rename or remove them"
        )
    readers = {".csv": _read_one_csv, ".npy": _read_npy, ".mat": _read_one_mat}
    return {stem: readers[path.suffix.lower()](path, sizes[stem]) for stem, path in files.items()}


def _read_csv(path, columns):
    """Read the text of the column image (where asked for) and the numbers of x, y[, observer].

    Returns:
        (names, numbers, lines): list of str, float (N, 2 or 3) array, and the line of each row.
    """
    names, numbers, observers, lines, first = [], [], [], [], columns.index("x")
    for line, cells in _rows(path, columns, [*columns, "observer"]):
        names += cells[:first]
        numbers.append(_to_numbers(cells[first : first + 2], f"{path}: line {line}"))
        observers += cells[first + 2 :]
        lines.append(line)
    points = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    if observers:  # any text: they are only told apart
        points = np.column_stack([points, np.unique(observers, return_inverse=True)[1]])
    return names, points, np.array(lines)


def _rows(path, *headers):
    """Yield (line, cells) of each row of a CSV whose header is one of `headers`."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # Excel writes the mark that -sig takes off
            reader = csv.reader(file, strict=True)
            header = [cell.strip() for cell in next(reader, [])]
            if header not in headers:
                expected = " or ".join(",".join(names) for names in headers)
                raise DatasetProblem(f"{path}: expected the header {expected}, got {','.join(header)!r}")
            for row in filter(None, reader):  # without blank lines
                if len(row) != len(header):
                    raise DatasetProblem(
                        f"{path}: line {reader.line_num}: expected {len(header)} cells, got {len(row)}; a cell with a "
                        "comma needs double quotes"
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
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DatasetProblem(f"{path}: not a readable NPY array of numbers: {error}") from error
    return _read_array(array, size, path, base=0)


def _read_one_mat(path, size):
    variables = read_mat(path)
    if "gaze" in variables:
        points, observers = gaze_points(variables["gaze"], path)
        return _split_columns(np.column_stack([points.astype(np.float64) - 1, observers]), size, path)
    numeric = [v for v in variables.values() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"]
    if len(numeric) != 1:
        raise DatasetProblem(
            f"{path}: expected gaze or one numeric variable, found {len(numeric)} numeric in "
            f"{', '.join(variables) or 'an empty file'}; save the fixations alone"
        )
    return _read_array(numeric[0], size, path, base=1)


def _read_array(array, size, path, base):
    """Fixations of an N x 2 or N x 3 array counted from `base`, or of a map of counts."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DatasetProblem(f"{path}: expected an array of numbers, got {getattr(array, 'dtype', type(array))}")
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
    """(fixations, observers) of columns x, y[, observer] counted from 0, checked."""
    fixations, observers = numbers[:, :2], numbers[:, 2:].ravel()
    check_inside(fixations, size, source, HINT, lines)
    if numbers.shape[1] == 2:
        return fixations, None
    wrong = observers[~(np.abs(observers) < 2**53) | (observers != np.floor(observers))]
    if len(wrong):
        raise DatasetProblem(f"{source}: expected whole numbers as observers, got {wrong[0]:g}; number them")
    return fixations, observers.astype(np.int64)
