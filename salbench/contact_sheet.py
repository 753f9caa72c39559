"""Contact sheets, one PNG each: an image with its augmentations, its feature maps, or its edits."""

import difflib
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from salbench.augment import augment, get
from salbench.datasets import Dataset, default_sigma, load
from salbench.edits import MadeEdits, NewEdit
from salbench.files import image_size, read_fixations, read_image
from salbench.maps import resize
from salbench.overlay import draw_heat
from salbench.sample import Sample
from salbench.writing import atomic_write

Tile = Image.Image
TILE = (320, 240)  # width and height in pixels of the frame that every thumbnail fits into
COLUMNS = 4
_GAP = 12
_TEXT_HEIGHT = 42  # two lines
_RADIUS = 2  # pixels; size of the dot for a fixation
_INK, _PAPER, _FRAME, _POINT = (20, 20, 20), (255, 255, 255), (225, 225, 225), (255, 225, 0)
_OUTLINE = (0, 225, 255)  # of a region; stands out on grey and on heat


def augmentation_sheet(
    sample: Sample, names: Sequence[str], path: Path | str, *, seed: int = 0, labels: str = "moved"
) -> dict[str, str]:
    """Draw an image and each of its augmentations.

    A tile shows the name, the size in pixels, the fixations and how many of them were dropped. If an augmentation
    cannot be applied to this image, its tile says why.

    Args:
        sample: with or without fixations.
        names: names of augmentations.
        path: the PNG to write, whole or not at all.
        seed: random seed for crops and noise.
        labels: "moved" or "as_released"; see `salbench.augment.augment`.

    Returns:
        {name: reason} of the augmentations that could not be applied.

    Raises:
        ValueError: an unknown name, or a path that does not end in .png.
    """
    _check_png(path)
    augmentations = [get(name) for name in names]
    tiles, failed = [_tile(sample, f"original {sample.id}", 0)], {}
    for augmentation in augmentations:
        try:
            new = augment(sample, augmentation, seed=seed, labels=labels)
            tiles.append(_tile(new.sample, augmentation.name, new.dropped))
        except ValueError as error:
            failed[augmentation.name] = str(error)
            tiles.append(_failed_tile(augmentation.name, str(error)))
    with atomic_write(path, "wb") as file:
        _join(tiles).save(file, "PNG")
    return failed


def feature_sheet(sample: Sample, maps: Mapping[str, np.ndarray], path: Path | str) -> None:
    """Draw an image and its feature maps.

    Red, green and blue are the first three principal components of the channels, each from its 1st to its 99th
    percentile. A map with fewer than three channels is shown in grey.

    Args:
        sample: the image.
        maps: {title: float (C, h, w)}.
        path: the PNG to write, whole or not at all.

    Raises:
        ValueError: a path that does not end in .png.
    """
    _check_png(path)
    height, width = sample.size
    tiles = [_picture_tile(sample.image, f"original {sample.id}", f"{width} x {height} px")]
    for title, features in maps.items():
        channels, rows, columns = features.shape
        shown, share = _principal_components(np.asarray(features, np.float64))
        picture = Image.fromarray(shown).resize((width, height), Image.Resampling.NEAREST)
        text = f"{channels} x {rows} x {columns}, {share:.0%} of the variance shown"
        tiles.append(_picture_tile(np.asarray(picture), title, text))
    with atomic_write(path, "wb") as file:
        _join(tiles).save(file, "PNG")


def edit_sheet(
    sample: Sample, made: MadeEdits, predict: Callable[[np.ndarray], np.ndarray] | None, path: Path | str
) -> None:
    """Draw how an image was edited.

    The first row shows the original, its reconstruction without an edit, the attention to the word, and the region.
    Each type of edit has a row with the reconstruction and the edits at rising strength. The row below it shows the
    saliency predicted on each, with its share inside the region. Maps are drawn as heat. The region is outlined where
    its mask exceeds half of its peak.

    Args:
        sample: the image.
        made: its edits.
        predict: maps an image, uint8 (H, W, 3), to a density (h, w) that sums to one. If None, no saliency is drawn.
        path: the PNG to write, whole or not at all.

    Raises:
        ValueError: a path that does not end in .png.
    """
    _check_png(path)
    size = f"{made.original.shape[1]} x {made.original.shape[0]} px"
    first = [_picture_tile(sample.image, f"original {sample.id}", f"{sample.size[1]} x {sample.size[0]} px")]
    first.append(_picture_tile(made.original, "reconstruction", f"{size}, without an edit"))
    if made.attention is not None:
        first.append(_heat_tile(made.attention, made.original, f"attention of {made.word!r}", made.caption or ""))
    covered = f"{made.mask.mean():.1%} of the image"
    first.append(_heat_tile(made.mask, made.original, "region", covered, made.mask))
    rows = [first]
    for type in dict.fromkeys(edit.type for edit in made.edits):
        images = [("reconstruction", made.original)]
        images += [(f"{type} {e.strength:.3g}{_asked(e)}", e.image) for e in made.edits if e.type == type]
        rows.append([_picture_tile(image, name, size) for name, image in images])
        if predict is not None:
            rows.append([_saliency_tile(predict(image), made.mask, image) for _, image in images])
    columns = max(map(len, rows))
    with atomic_write(path, "wb") as file:
        _join([tile for row in rows for tile in _padded(row, columns)], columns).save(file, "PNG")


def _asked(edit: NewEdit) -> str:
    return "" if edit.strength == edit.asked else f", asked {edit.asked:.3g}"


def _padded(row: list[Tile], length: int) -> list[Tile]:
    return row + [Image.new("RGB", row[0].size, _PAPER)] * (length - len(row))


def _saliency_tile(density: np.ndarray, mask: np.ndarray, image: np.ndarray) -> Tile:
    inside = float((density * resize(mask, density.shape)).sum())
    return _heat_tile(density, image, "saliency", f"{inside:.1%} inside the region", mask)


def _heat_tile(values: np.ndarray, image: np.ndarray, name: str, text: str, mask: np.ndarray | None = None) -> Tile:
    """A map as heat over its image in grey, with the outline of a region."""
    return _picture_tile(draw_heat(image, values), name, text, region=mask)


def _principal_components(features: np.ndarray) -> tuple[np.ndarray, float]:
    """Picture, uint8 (h, w, 3), of the first three components, and their share of the variance."""
    channels, rows, columns = features.shape
    flat = features.reshape(channels, -1)
    flat = flat - flat.mean(1, keepdims=True)
    variances, axes = np.linalg.eigh(flat @ flat.T)
    axes = axes[:, ::-1][:, :3] if channels >= 3 else axes[:, -1:].repeat(3, 1)
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(3)])  # the sign of a component is arbitrary
    shown = axes.T @ flat
    low, high = np.percentile(shown, (1, 99), axis=1)
    shown = np.clip((shown - low[:, None]) / np.maximum(high - low, 1e-12)[:, None], 0, 1)
    share = variances[::-1][: min(channels, 3)].sum() / max(variances.sum(), 1e-300)
    return np.round(255 * shown).astype(np.uint8).T.reshape(rows, columns, 3), share


def _check_png(path: Path | str) -> None:
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"{path}: expected a name ending in .png for the sheet")


def sample_of_files(image: Path | str, fixations: Path | str | None = None) -> Sample:
    """A sample from an image file and, optionally, a file with fixations.

    Args:
        image: an image file.
        fixations: .csv with columns x and y, or .npy (N, 2), in pixels from 0; see `salbench.files.read_fixations`.

    Raises:
        FileProblem: a file is missing or cannot be read.
        ValueError: fixations off the image.
    """
    points = None if fixations is None else read_fixations(fixations, image)
    size = image_size(image)
    return Sample(Path(image).stem, size, partial(read_image, image), points, sigma=default_sigma(size))


def sample_of_dataset(name: str, id: str | None = None, root: Path | str | None = None) -> Sample:
    """The sample of a data set with this id, or its first sample.

    Args:
        name: name of the data set.
        id: id of the image.
        root: folder of the data sets; see `salbench.datasets.data_root`.

    Raises:
        ValueError: unknown name or id, or the data set is not on disk.
    """
    dataset = load(name, root)
    return dataset.samples[0] if id is None else sample_of_id(dataset, id)


def sample_of_id(dataset: Dataset, id: str) -> Sample:
    """The sample of an open data set with this id.

    Raises:
        ValueError: unknown id.
    """
    samples = {sample.id: sample for sample in dataset.samples}
    if id not in samples:
        near = difflib.get_close_matches(id, samples, 1) or list(samples)[:1]
        raise ValueError(f"{dataset.name}: no image has the id {id!r}; expected one such as {near[0]!r}")
    return samples[id]


def _tile(sample: Sample, name: str, dropped: int) -> Tile:
    height, width = sample.size
    text = f"{width} x {height} px"
    if sample.fixations is not None:
        text += f", {len(sample.fixations)} fixations" if len(sample.fixations) else ", no fixation left"
        text += f", {dropped} dropped" if dropped else ""
    return _picture_tile(sample.image, name, text, sample.fixations)


def _picture_tile(
    image: np.ndarray,
    name: str,
    text: str,
    points: np.ndarray | None = None,
    region: np.ndarray | None = None,
) -> Tile:
    """An image beneath two lines of text, with points and the outline of a region drawn on it."""
    thumbnail, scale = _thumbnail(image)
    if region is not None:
        thumbnail = _outlined(thumbnail, region)
    if points is not None:
        _draw_points(thumbnail, points * scale)
    tile = _empty_tile(name, text)
    left, top = ((room - used) // 2 for room, used in zip(TILE, thumbnail.size, strict=True))
    tile.paste(thumbnail, (left, _TEXT_HEIGHT + top))
    return tile


def _thumbnail(image: np.ndarray) -> tuple[Tile, np.ndarray]:
    """The image fitted into `TILE`, and its scale (x, y) in tile pixels per image pixel."""
    height, width = image.shape[:2]
    scale = min(TILE[0] / width, TILE[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), np.divide(size, (width, height))


def _outlined(picture: Tile, region: np.ndarray) -> Tile:
    inside = resize(np.asarray(region, np.float64), picture.size[::-1])
    inside = inside > 0.5 * inside.max()
    pixels = np.array(picture)
    pixels[inside & ~binary_erosion(inside, border_value=1)] = _OUTLINE
    return Image.fromarray(pixels)


def _draw_points(picture: Tile, points: np.ndarray) -> None:
    draw = ImageDraw.Draw(picture)
    for x, y in points - 0.5:  # Pillow counts from the centre of the first pixel
        draw.ellipse((x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS), fill=_POINT, outline=_INK)


def _failed_tile(name: str, reason: str) -> Tile:
    tile = _empty_tile(name, "cannot be applied")
    text = "\n".join(textwrap.wrap(reason, 44))
    ImageDraw.Draw(tile).multiline_text((_GAP, _TEXT_HEIGHT + _GAP), text, fill=_INK, font=_font(13))
    return tile


def _empty_tile(name: str, text: str) -> Tile:
    tile = Image.new("RGB", (TILE[0], TILE[1] + _TEXT_HEIGHT), _PAPER)
    draw = ImageDraw.Draw(tile)
    draw.text((0, 1), name, fill=_INK, font=_font(17))
    draw.text((0, 23), text, fill=_INK, font=_font(13))
    draw.rectangle((0, _TEXT_HEIGHT, TILE[0] - 1, TILE[1] + _TEXT_HEIGHT - 1), fill=_FRAME)
    return tile


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _join(tiles: Sequence[Tile], columns: int = COLUMNS) -> Tile:
    columns = min(columns, len(tiles))
    width, height = tiles[0].width + _GAP, tiles[0].height + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, math.ceil(len(tiles) / columns) * height + _GAP), _PAPER)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet.paste(tile, (_GAP + column * width, _GAP + row * height))
    return sheet
