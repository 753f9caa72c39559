import contextlib
import errno
import hashlib
import io
import sys
import zipfile

import h5py
import numpy as np
import OpenEXR
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from salbench import files, optional_packages
from salbench.files import FileProblem, hash_bytes, hash_file, image_size, read_image, read_map

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def encoded(image, format_="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.fixture
def save(tmp_path):
    def save(data, name="map.png"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return save


def _palette():
    image = Image.fromarray(GREY[::-1] // 20).convert("P")
    image.putpalette([value for i in range(12) for value in [i * 20] * 3])
    return image


PICTURES = {
    "8 bit": (Image.fromarray(GREY), GREY),
    "16 bit": (Image.fromarray(GREY.astype(np.uint16) * 257 + 3), GREY.astype(float) * 257 + 3),
    "palette": (_palette(), GREY[::-1]),
    "grey RGB": (Image.fromarray(np.dstack([GREY] * 3)), GREY),
    "opaque RGBA": (Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])), GREY),
    "opaque LA": (Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])).convert("LA"), GREY),
    "1 bit": (Image.fromarray(GREY > 100), (GREY > 100) * 255),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_read_map_gives_the_stored_values(kind, save):
    image, expected = PICTURES[kind]
    for got in (read_map(save(encoded(image))), read_map(encoded(image), "map.png")):
        assert got.dtype in (np.float32, np.float64)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_read_map_takes_32_bit_pictures(mode, save):
    values = GREY.astype(np.int32 if mode == "I" else np.float32) * 1000
    got = read_map(save(encoded(Image.fromarray(values), "TIFF"), "map.tif"))
    np.testing.assert_array_equal(got, values)
    assert got.dtype == np.float64


def test_read_map_takes_jpeg(save):
    got = read_map(save(encoded(Image.fromarray(np.full((8, 8), 77, np.uint8)), "JPEG"), "map.jpg"))
    np.testing.assert_allclose(got, 77, atol=2)


def test_read_map_refuses_colour(save):
    coloured = np.dstack([GREY] * 3)
    coloured[2, 1, 2] += 1
    path = save(encoded(Image.fromarray(coloured)))
    with pytest.raises(FileProblem, match=r"map\.png: expected a grey map, got a coloured picture"):
        read_map(path)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_read_map_refuses_transparency(mode, save):
    alpha = np.full_like(GREY, 255)
    alpha[1, 1] = 254
    path = save(encoded(Image.fromarray(np.dstack([GREY] * 3 + [alpha])).convert(mode)))
    with pytest.raises(FileProblem, match=r"map\.png: expected an opaque grey map, got transparent"):
        read_map(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"where people look\n",
        encoded(PICTURES["8 bit"][0])[:30],
        encoded(Image.fromarray(np.tile(GREY, (30, 30))))[:-40],
        encoded(Image.fromarray(np.tile(GREY, (30, 30))), "JPEG")[:-200],
    ],
    ids=["empty", "text", "cut in the header", "cut in the data", "cut JPEG"],
)
@pytest.mark.parametrize("read", [read_map, read_image])
def test_a_broken_picture_is_named(data, read, save):
    path = save(data)
    with pytest.raises(FileProblem, match=r"map\.png: not a readable picture \(empty, truncated or corrupt\)"):
        read(path)


@pytest.mark.parametrize("read", [read_map, read_image, image_size])
def test_a_missing_picture_is_named(read, tmp_path):
    with pytest.raises(FileProblem, match=r"nowhere\.png: no such file"):
        read(tmp_path / "nowhere.png")


def test_a_missing_npy_is_named(tmp_path):
    with pytest.raises(FileProblem, match=r"nowhere\.npy: no such file"):
        read_map(tmp_path / "nowhere.npy")


@pytest.mark.parametrize("name", ["map.png", "map.npy"])
def test_a_folder_is_no_file(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(FileProblem, match=rf"{name}: expected .*, got a folder"):
        read_map(tmp_path / name)


@pytest.mark.parametrize("name", ["map.png", "map.npy"])
def test_trouble_of_the_disk_is_not_blamed_on_the_file(name, save, monkeypatch):
    def broken(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    path = save(b"", name)
    monkeypatch.setattr("builtins.open", broken)
    with pytest.raises(OSError, match="Input/output error"):
        read_map(path)


@pytest.mark.parametrize("read", [read_map, read_image, image_size])
def test_a_picture_of_too_many_pixels_is_refused(read, save, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 11)
    path = save(encoded(PICTURES["8 bit"][0]))
    with pytest.raises(FileProblem, match=r"map\.png: expected at most 11 pixels, got 4 x 3"):
        read(path)
    monkeypatch.setattr(files, "MAX_PIXELS", 12)
    read(path)


def test_a_picture_below_the_limit_brings_no_warning(save, monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8)
    read_map(save(encoded(PICTURES["8 bit"][0])))
    assert not recwarn.list


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1"])
def test_read_image_is_rgb_whatever_the_mode(mode, save):
    path = save(encoded(Image.fromarray(GREY).convert(mode), "TIFF"), "image.tif")
    image = read_image(path)
    assert image.shape == (3, 4, 3)
    assert image.dtype == np.uint8
    assert image_size(path) == (3, 4)


def test_read_image_keeps_colour_and_orientation(save):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_image(save(encoded(Image.fromarray(rgb)))), rgb)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_read_image_scales_16_bits_to_8(format_, save):
    """Pillow's own conversion clips at 255."""
    stored = GREY.astype(np.uint16) * 257
    stored[0, 0] += 128  # the nearest of 256 levels
    image = read_image(save(encoded(Image.fromarray(stored), format_)))
    np.testing.assert_array_equal(image, GREY[..., None].repeat(3, 2))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_read_image_refuses_32_bits(dtype, save):
    path = save(encoded(Image.fromarray(GREY.astype(dtype)), "TIFF"), "image.tif")
    with pytest.raises(FileProblem, match=r"image\.tif: expected 8 or 16 bits per channel, got 32"):
        read_image(path)


def test_damaged_exif_data_do_not_spoil_a_picture(save):
    image = Image.fromarray(GREY[..., None].repeat(3, 2))
    path = save(encoded(image, exif=b"no header"))
    with Image.open(path) as opened, pytest.raises(SyntaxError):
        opened.getexif()
    np.testing.assert_array_equal(read_image(path), image)
    assert image_size(path) == (3, 4)


# What the eight values of EXIF's tag 274 say: where the first row and the first column of what is stored are to be.
ORIENTATIONS = {
    1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_read_image_is_upright_as_people_see_it(orientation, save):
    rgb = np.random.default_rng(0).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    path = save(encoded(Image.fromarray(rgb), exif=exif))
    upright = ORIENTATIONS[orientation](rgb)
    np.testing.assert_array_equal(read_image(path), upright)
    assert image_size(path) == upright.shape[:2]


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (">f4", np.float32),
        (np.float64, np.float64),
        (np.uint8, np.float64),
        (np.int32, np.float64),
        (np.int64, np.float64),
        (bool, np.float32),
    ],
)
def test_read_map_takes_npy(stored, read, save):
    array = np.array([[0, 1, 2], [3, 1, 0]]).astype(stored)
    for got in (read_map(save(npy(array), "map.npy")), read_map(npy(array), "MAP.NPY")):
        np.testing.assert_array_equal(got, array)
        assert got.dtype == read


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(6), r"expected a map of shape .*, got shape \(6,\)"),
        (np.zeros((3, 2, 3)), r"expected a map of shape .*, got shape \(3, 2, 3\)"),
        (np.zeros((2, 1, 2, 3)), r"expected a map of shape .*, got shape \(2, 1, 2, 3\)"),
        (np.zeros((2, 3), complex), "expected .* real numbers, got dtype complex"),
        (np.zeros((2, 3), "U2"), "expected .* real numbers, got dtype"),
    ],
)
def test_read_map_refuses_an_npy_that_is_no_map(array, message, save):
    with pytest.raises(FileProblem, match=rf"map\.npy: {message}"):
        read_map(save(npy(array), "map.npy"))


def test_read_map_never_unpickles(save, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    trap = np.empty((1, 1), object)
    trap[0, 0] = Trap()
    path = save(npy(trap, allow_pickle=True), "map.npy")
    with pytest.raises(FileProblem, match=r"map\.npy: not a readable NPY array .*: Object arrays cannot be loaded"):
        read_map(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", [(1, 1, 3, 4), (1, 3, 4), (3, 4, 1), (1, 3, 4, 1), (1, 1, 1, 4), (1, 1, 3, 1)])
def test_read_map_drops_axes_of_length_one(shape, save):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    got = read_map(save(npy(array), "map.npy"))
    assert got.shape == (1 if shape[2:] == (1, 4) else 3, 1 if shape == (1, 1, 3, 1) else 4)
    np.testing.assert_array_equal(got.ravel(), array.ravel())


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("stored", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["map.tif", "map.TIFF"])
def test_read_map_takes_tiff(stored, name, save):
    array = (np.arange(12).reshape(3, 4) * 20).astype(stored) / (1 if stored(1.5) == 1 else 7)
    array = array.astype(stored)
    for got in (read_map(save(tiff(array), name)), read_map(tiff(array), name)):
        np.testing.assert_array_equal(got, array)


def test_read_map_takes_a_tiff_that_pillow_compressed(save):
    path = save(encoded(Image.fromarray(GREY), "TIFF", compression="tiff_lzw"), "map.tif")
    np.testing.assert_array_equal(read_map(path), GREY)


def test_read_map_refuses_a_tiff_of_several_pictures(save):
    path = save(tiff(np.stack([GREY] * 3), photometric="minisblack"), "map.tif")
    with pytest.raises(FileProblem, match=r"map\.tif: expected one picture in the file, got 3"):
        read_map(path)


def exr(tmp_path, **channels):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as file:
        file.write(str(tmp_path / "written.exr"))
    return (tmp_path / "written.exr").read_bytes()


@pytest.mark.parametrize("stored", [np.float16, np.float32])
@pytest.mark.parametrize("channels", ["Y", "RGB"])
def test_read_map_takes_exr(stored, channels, save, tmp_path):
    array = (np.arange(12).reshape(3, 4) / 8 - 0.5).astype(stored)
    content = exr(tmp_path, **dict.fromkeys(channels, array))
    for got in (read_map(save(content, "map.exr")), read_map(content, "map.exr")):
        np.testing.assert_array_equal(got, array)


def test_read_map_refuses_a_coloured_exr(save, tmp_path):
    array = np.ones((3, 4), np.float32)
    path = save(exr(tmp_path, R=array, G=array, B=2 * array), "map.exr")
    with pytest.raises(FileProblem, match=r"map\.exr: expected a grey map, got 3 channels that differ"):
        read_map(path)


def mat(**variables):
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def mat_7_3(**variables):
    """A MATLAB 7.3 file: 512 bytes of text, then HDF5 with reversed axes and the class of each variable."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=512) as file:
        for name, values in variables.items():
            is_text = isinstance(values, str)
            stored = np.array([[ord(letter)] for letter in values], np.uint16) if is_text else np.asarray(values).T
            file[name] = stored
            file[name].attrs["MATLAB_class"] = np.bytes_("char" if is_text else "double")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64 HDF5 schema 1.00 ."
    return text.ljust(512, b"\0") + buffer.getvalue()[512:]


@pytest.mark.parametrize("write", [mat, mat_7_3])
@pytest.mark.parametrize("stored", [np.uint8, np.float32, np.float64, bool])
def test_read_map_takes_the_numeric_variable_of_a_mat_file(write, stored, save):
    array = np.array([[0, 1, 2], [3, 1, 0]]).astype(stored)
    for got in (read_map(save(write(salMap=array, model="mine"), "map.mat")), read_map(write(s=array), "map.mat")):
        np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("write", [mat, mat_7_3])
@pytest.mark.parametrize(
    ("variables", "found"), [({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, "a, b"), ({"text": "nothing"}, "none")]
)
def test_read_map_refuses_a_mat_file_without_one_map(write, variables, found, save):
    with pytest.raises(FileProblem, match=rf"map\.mat: expected one numeric variable, the map, found {found}"):
        read_map(save(write(**variables), "map.mat"))


def test_read_map_refuses_cells_and_structures(save):
    cells = np.empty((1, 2), object)
    cells[0, :] = [np.ones((2, 2)), np.ones((2, 2))]
    with pytest.raises(FileProblem, match=r"map\.mat: expected one numeric variable, the map, found none"):
        read_map(save(mat(cells=cells, structure={"map": np.ones((2, 2))}), "map.mat"))


@pytest.mark.parametrize(("package", "name"), [("h5py", "map.mat"), ("OpenEXR", "map.exr")])
def test_a_missing_package_is_not_a_damaged_file(package, name, save, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError) as error:
        read_map(save(mat_7_3(a=np.ones((2, 2))), name))
    assert optional_packages.needs(error.value).startswith(f"needs {package}: ")


# Among the errors that NumPy raises for them are TokenError and MemoryError, which are no ValueErrors.
DAMAGED_HEADERS = {
    name: b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n" + bytes(200)
    for name, header in {
        "open bracket": b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), (",
        "no expression": b"{'descr': '<f8', 'fortran_order': False, 'shape' (3, 2)}",
        "no text": b"{'descr': '<f8', \xff\x00",
        "too large": b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 2)}",
        "no type": b"{'descr': '<z8', 'fortran_order': False, 'shape': (3, 2)}",
    }.items()
}


@pytest.mark.parametrize("header", DAMAGED_HEADERS)
@pytest.mark.parametrize("read", [read_map, files.read_npy, lambda path: files.read_fixations(path, "a.png")])
def test_a_damaged_npy_header_is_named(header, read, save):
    with pytest.raises(FileProblem, match=r"map\.npy: not a readable NPY array"):
        read(save(DAMAGED_HEADERS[header], "map.npy"))


def test_read_fixations_of_an_npy_takes_its_first_two_columns(save):
    path = save(npy(np.arange(12).reshape(4, 3)), "a.npy")
    points = files.read_fixations(path, "a.png")
    np.testing.assert_array_equal(points, [[0, 1], [3, 4], [6, 7], [9, 10]])
    assert points.dtype == np.float64


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(4), r"\(N, 2\) .* got \(4,\)"),
        (np.zeros((4, 1)), r"\(N, 2\) .* got \(4, 1\)"),
        (np.zeros((4, 2), "U1"), "real numbers, got dtype"),
    ],
)
def test_read_fixations_refuses_an_npy_without_x_and_y(array, message, save):
    with pytest.raises(FileProblem, match=rf"a\.npy: expected .*{message}"):
        files.read_fixations(save(npy(array), "a.npy"), "a.png")


@pytest.mark.parametrize(
    ("image", "rows"),
    [("cat_1.5.png", [2, 3]), ("cat_1.csv", [0, 1]), ("cat_1", [0, 1]), ("dog.jpg", [4, 5]), ("cat.png", [])],
)
def test_read_fixations_of_one_of_several_images(image, rows, tmp_path):
    """File names or stems; a stem may hold dots."""
    names = ("cat_1", "cat_1.png", "cat_1.5", "cat_1.5.png", "dog", "dog.JPG")
    (tmp_path / "all.csv").write_text("image,x,y\n" + "".join(f"{name},{i},0\n" for i, name in enumerate(names)))
    assert files.read_fixations(tmp_path / "all.csv", image)[:, 0].tolist() == rows


def _zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", npy(np.zeros((2, 2))))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"text", npy(np.zeros((9, 9)))[:-8], npy(np.zeros((9, 9)))[:40], _zipped(), _zipped()[:50], b"\x80\x04N."],
    ids=["empty", "text", "cut", "cut in the header", "npz", "cut npz", "pickle"],
)
def test_read_map_names_a_broken_npy(data, save):
    with pytest.raises(FileProblem, match=r"map\.npy: not a readable NPY array"):
        read_map(save(data, "map.npy"))


WHOLE = {
    "a.png": encoded(PICTURES["8 bit"][0]),
    "p.png": encoded(PICTURES["palette"][0]),
    "a.jpg": encoded(Image.fromarray(np.tile(GREY, (4, 4))), "JPEG"),
    "a.bmp": encoded(PICTURES["8 bit"][0], "BMP"),
    "a.tif": encoded(PICTURES["8 bit"][0], "TIFF"),
    "f.tif": tiff(GREY / 7),
    "a.npy": npy(GREY),
    "a.mat": mat(a=GREY),
}
# Headers that Pillow and NumPy answer with ValueError, TypeError, TokenError: found by random damage.
DAMAGE = st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=3)


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=80, deadline=None)
@given(damage=DAMAGE, length=st.none() | st.integers(0, 250))
def test_a_damaged_file_is_read_or_is_a_file_problem(name, damage, length):
    data = bytearray(WHOLE[name][:length])
    for position, value in damage:
        if position < len(data):
            data[position] = value
    with contextlib.suppress(FileProblem):
        assert read_map(bytes(data), name).ndim == 2


@settings(max_examples=80, deadline=None)
@given(damage=DAMAGE, length=st.none() | st.integers(0, 250))
def test_a_damaged_npy_of_fixations_is_read_or_is_a_file_problem(tmp_path_factory, damage, length):
    data = bytearray(npy(np.zeros((9, 2)))[:length])
    for position, value in damage:
        if position < len(data):
            data[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(data)
    with contextlib.suppress(FileProblem):
        assert files.read_fixations(path, "a.png").shape[1] == 2


@pytest.mark.parametrize(
    ("name", "position"),
    [("a.bmp", WHOLE["a.bmp"].index(b"(")), ("a.npy", WHOLE["a.npy"].index(b"}"))],
)
def test_headers_that_do_not_make_sense(name, position):
    data = bytearray(WHOLE[name])
    data[position : position + 1] = b"("
    if name == "a.bmp":
        data[46:50] = b"\xff\xff\xff\xff"  # number of colours in the palette
    with pytest.raises(FileProblem, match=f"{name}: not a readable"):
        read_map(bytes(data), name)


# --- folders --------------------------------------------------------------------------------------------------------


def test_the_user_cache_follows_the_xdg_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.user_cache() == tmp_path / "salbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.user_cache() == tmp_path / "home" / ".cache" / "salbench"


def test_a_shipped_folder_is_in_the_package_or_else_in_the_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "__file__", str(tmp_path / "salbench" / "files.py"))
    assert files.shipped("paper", "results/paper") == tmp_path / "results" / "paper"
    (tmp_path / "salbench" / "paper").mkdir(parents=True)
    assert files.shipped("paper", "results/paper") == tmp_path / "salbench" / "paper"


def test_a_clone_has_the_methods_beside_the_package():
    assert (files.shipped("methods", "methods") / "uniform.py").is_file()


# --- hashes ---------------------------------------------------------------------------------------------------------


def test_hash_file_is_the_start_of_sha256(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    assert hash_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()[:16]


def test_hash_bytes_is_pinned():
    # The stored fingerprints and weights hashes depend on it.
    expected = hashlib.sha256(b"\x02" + b"\0" * 7 + "é".encode() + b"\x03" + b"\0" * 7 + b"abc").hexdigest()[:16]
    assert hash_bytes("é", b"abc") == expected


def test_hash_bytes_keeps_parts_apart():
    groups = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c")]
    assert len({hash_bytes(*parts) for parts in groups}) == len(groups)


def test_hash_bytes_takes_text_and_bytes_alike():
    assert hash_bytes("abc") == hash_bytes(b"abc") == hash_bytes(bytearray(b"abc"))
