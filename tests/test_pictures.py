"""Which pictures are found under which names, and pictures that are no files."""

import numpy as np
import pytest
from PIL import Image

from salbench.files import FileProblem, read_image
from salbench.pictures import find_pictures, rgb_of


@pytest.fixture
def place(tmp_path):
    """A folder of empty files; no file is opened."""
    names = "b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", ".git/x.jpg", "sub/a.jpg", "sub/deep/v1.2.webp", "out/a.png"
    for name in names:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def names(pictures):
    return [picture.name for picture in pictures]


def test_a_link_that_refers_to_itself_is_a_picture_that_cannot_be_read(place):
    (place / "loop.png").symlink_to("loop.png")
    assert "loop" in names(find_pictures([place], leave_out=place / "out"))
    assert names(find_pictures([place / "loop.png"])) == ["loop"]


def test_a_folder_with_its_subfolders(place):
    found = find_pictures([place], leave_out=place / "out")
    assert names(found) == ["a", "b", "sub/a", "sub/deep/v1.2"]
    assert [p.path for p in found] == [place / n for n in ("a.PNG", "b.jpg", "sub/a.jpg", "sub/deep/v1.2.webp")]
    assert "out/a" in names(find_pictures([place]))


def test_files_are_taken_as_they_are(place):
    assert names(find_pictures([place / "b.jpg", place / "notes.txt", place / "nothing.jpg"])) == [
        "b", "notes", "nothing",
    ]  # fmt: skip


def test_each_file_once(place):
    found = find_pictures([place / "sub" / "a.jpg", place / "sub" / ".." / "sub" / "a.jpg", place / "sub"])
    assert names(found) == ["a", "deep/v1.2"]


def test_two_pictures_of_one_stem_keep_their_suffixes(place):
    (place / "b.png").touch()
    assert names(find_pictures([place], leave_out=place / "out")) == [
        "a", "b.jpg", "b.png", "sub/a", "sub/deep/v1.2",
    ]  # fmt: skip
    assert names(find_pictures([place / "b.jpg", place / "b.png"])) == ["b.jpg", "b.png"]


def test_two_pictures_of_one_name_are_an_error(place):
    (place / "a.jpg").touch()
    with pytest.raises(FileProblem, match="expected pictures of different names"):
        find_pictures([place / "a.jpg", place / "sub" / "a.jpg"])


def test_a_folder_without_pictures(place):
    (place / "empty").mkdir()
    with pytest.raises(FileProblem, match=r"empty: expected pictures .* found none"):
        find_pictures([place / "empty"])


def test_the_outputs_are_not_among_the_pictures(place):
    with pytest.raises(FileProblem, match="expected another folder for the outputs"):
        find_pictures([place], leave_out=place)


def _images():
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    turned = rgb.copy()
    turned.getexif()[0x0112] = 6
    deep = Image.fromarray(rng.integers(0, 2**16, (6, 9), dtype=np.uint16))
    clear = rgb.copy()
    clear.putalpha(Image.fromarray(rng.integers(0, 256, (6, 9), dtype=np.uint8)))
    modes = {mode: rgb.convert(mode) for mode in ("RGB", "L", "LA", "P", "1", "CMYK")}
    return {**modes, "RGBA": clear, "16 bits": deep, "turned": turned}


@pytest.mark.parametrize(("kind", "image"), _images().items())
def test_a_pil_image_is_what_its_file_is(kind, image, tmp_path):
    path = tmp_path / ("x.tif" if kind == "CMYK" else "x.png")
    image.save(path, exif=image.getexif())
    assert (rgb_of(image) == read_image(path)).all()
    assert (rgb_of(path) == read_image(path)).all()
    with Image.open(path) as opened:
        assert (rgb_of(opened) == read_image(str(path))).all()
    assert rgb_of(image).shape == ((9, 6, 3) if kind == "turned" else (6, 9, 3))


def test_arrays():
    rgb = np.arange(54, dtype=np.uint8).reshape(3, 6, 3)
    assert (rgb_of(rgb) == rgb).all()
    assert (rgb_of(rgb[..., 0]) == rgb[..., :1]).all()
    assert (rgb_of(rgb.astype(np.uint16) * 257) == rgb).all()
    assert rgb_of(rgb[:, :3, 0]).shape == (3, 3, 3)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 5)), np.zeros((4, 5, 4), np.uint8), np.zeros((1, 4, 5, 3), np.uint8), np.zeros((0, 5), np.uint8)],
)
def test_other_arrays(array):
    with pytest.raises(ValueError, match=r"image: expected a uint8 or uint16 array of shape \(H, W\)"):
        rgb_of(array)


def test_a_picture_with_32_bits():
    with pytest.raises(ValueError, match="got int32"):
        rgb_of(Image.fromarray(np.zeros((3, 4), np.int32)))
    with pytest.raises(FileProblem, match="no such file"):
        rgb_of("nothing.png")
