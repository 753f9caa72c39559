"""Mutations that know the format of a binary file: sizes, types, numbers, references and compression."""

import io
import json
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from mutations import Mutation, Rng, _Code
from PIL import Image

HUGE = (10**5, 2**31 - 1, 10**12, 2**63 - 1)


def _choice(values: Any, rng: Rng) -> Any:
    return values[rng.integers(len(values))]


# Arrays, in any file that holds one

ARRAYS: dict[str, Callable[[np.ndarray, Rng], Any]] = {
    "NaN": lambda a, rng: _with(a, np.nan, rng),
    "infinity": lambda a, rng: _with(a, _choice((np.inf, -np.inf), rng), rng),
    "all NaN": lambda a, rng: np.full(a.shape, np.nan),
    "huge numbers": lambda a, rng: a * _choice((1e300, -1e300, 1e-310), rng),
    "negative numbers": lambda a, rng: -np.asarray(a, float) - 1,
    "all zero": lambda a, rng: np.zeros(a.shape),
    "constant": lambda a, rng: np.full(a.shape, 7.0),
    "of size zero": lambda a, rng: np.zeros(_choice(((0,), (0, 5), (5, 0), (0, 0)), rng)),
    "one number": lambda a, rng: np.float64(3.0),
    "one pixel": lambda a, rng: np.ones((1, 1)),
    "three dimensions": lambda a, rng: np.stack([a, a, a], axis=-1),
    "nine dimensions": lambda a, rng: np.asarray(a).reshape(*a.shape, *(1,) * 7),
    "transposed": lambda a, rng: np.asarray(a).T,
    "of type bool": lambda a, rng: np.asarray(a) > np.mean(a),
    "of type uint8": lambda a, rng: np.asarray(a).astype(np.uint8),
    "of type int64": lambda a, rng: np.full(a.shape, 2**62),
    "of type float16": lambda a, rng: np.asarray(a, np.float16),
    "of type longdouble": lambda a, rng: np.asarray(a, np.longdouble),
    "big-endian": lambda a, rng: np.asarray(a, ">f8"),
    "complex": lambda a, rng: np.asarray(a) + 1j,
    "text": lambda a, rng: np.array([["a", "bb"], ["", "é"]]),
    "bytes": lambda a, rng: np.array([[b"a", b"bb"]]),
}


def _with(array: np.ndarray, value: float, rng: Rng) -> np.ndarray:
    changed = np.array(array, dtype=float)
    changed.flat[rng.integers(changed.size)] = value
    return changed


# NPY and NPZ


def _npy_header(change: Callable[[str, Rng], str]) -> Callable[[Path, Rng], None]:
    def apply(path: Path, rng: Rng) -> None:
        content = path.read_bytes()
        (length,) = struct.unpack_from("<H", content, 8)
        header = change(content[10 : 10 + length].decode().strip(), rng) + "\n"
        path.write_bytes(content[:8] + struct.pack("<H", len(header)) + header.encode() + content[10 + length :])

    return apply


def _npy_shape(header: str, rng: Rng) -> str:
    shapes = (
        "()",
        "(0,)",
        "(-1, 5)",
        "(1.5, 2)",
        "'x'",
        "None",
        "(10,) * 9",
        f"({_choice(HUGE, rng)}, {_choice(HUGE, rng)})",
    )
    before, _, after = header.partition("'shape': ")
    return before + "'shape': " + _choice(shapes, rng) + after[after.index(")") + 1 :]


def _npy_type(header: str, rng: Rng) -> str:
    types = "|O", "<U5", "<c16", ">f8", "|S0", "<M8[s]", "|V8", "<f3", "nonsense", "<f16", "|b1", "<i1"
    before, _, after = header.partition("'descr': '")
    return before + "'descr': '" + _choice(types, rng) + after[after.index("'") :]


def _npy_structured(header: str, rng: Rng) -> str:
    before, _, after = header.partition("'descr': '")
    return before + "'descr': [('a', '<f8')]" + after[after.index("'") + 1 :]


def _save(path: Path, array: Any) -> None:
    if path.suffix == ".npz":
        np.savez(path, **{_npz_name(path): array})
    else:
        np.save(path, array)


def _npz_name(path: Path) -> str:
    with np.load(path) as file:
        return file.files[0]


def _array_of(path: Path) -> np.ndarray:
    found = np.load(path)
    return found if path.suffix == ".npy" else found[found.files[0]]


def _of_array(name: str, change: Callable[[np.ndarray, Rng], Any]) -> Mutation:
    return Mutation(name, lambda path, rng: _save(path, change(_array_of(path), rng)))


_PICKLED = Mutation("a pickle with code", lambda path, rng: _save(path, np.array([_Code()], dtype=object)))
NPZ = (*(_of_array(name, change) for name, change in ARRAYS.items()), *(_PICKLED,) * 3)
NPY = (
    *NPZ,
    *(Mutation("another shape in the header", _npy_header(_npy_shape)),) * 6,
    *(Mutation("another type in the header", _npy_header(_npy_type)),) * 6,
    Mutation("a structured type", _npy_header(_npy_structured)),
    Mutation("code in the header", _npy_header(lambda header, rng: "__import__('os').mkdir('CODE_WAS_EXECUTED')")),
    Mutation("a header nested deeply", _npy_header(lambda header, rng: "(" * 5000 + ")" * 5000)),
    Mutation("an empty header", _npy_header(lambda header, rng: "")),
)


# Pictures


def _rewritten(path: Path, change: Callable[[Image.Image, Rng], Image.Image], rng: Rng, **options: Any) -> None:
    with Image.open(path) as image:
        format = image.format
        changed = change(image.copy(), rng)
    try:
        changed.save(path, format, **options)
    except OSError:  # a mode that the format does not have
        changed.save(path, "TIFF" if changed.mode in ("F", "I", "CMYK") else "PNG")


def _picture(name: str, change: Callable[[Image.Image, Rng], Image.Image], **options: Any) -> Mutation:
    return Mutation(name, lambda path, rng: _rewritten(path, change, rng, **options))


def _mode(image: Image.Image, rng: Rng) -> Image.Image:
    return (
        image.convert("RGB").convert("L").convert(_choice(("1", "L", "LA", "P", "RGBA", "I", "F", "CMYK", "I;16"), rng))
    )


PICTURE = (
    *(_picture("another mode", _mode),) * 4,
    _picture("one pixel", lambda image, rng: image.resize((1, 1))),
    _picture("one row", lambda image, rng: image.resize((500, 1))),
    _picture("very long", lambda image, rng: image.resize((1, 16_000))),
    _picture("transposed", lambda image, rng: image.transpose(Image.Transpose.TRANSPOSE)),
    _picture("black", lambda image, rng: Image.new("L", image.size)),
    Mutation("the suffix of another format", lambda path, rng: _rewritten_as(path, rng)),
    Mutation(
        "odd EXIF data",
        lambda path, rng: _rewritten(
            path,
            lambda image, _: image,
            rng,
            exif=b"Exif\0\0" + _choice((b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"), rng) + rng.bytes(60),
        ),
    ),
)


def _rewritten_as(path: Path, rng: Rng) -> None:
    with Image.open(path) as image:
        image.convert("RGB").save(path, _choice(("GIF", "BMP", "PPM", "ICO", "PNG", "JPEG2000", "PDF", "EPS"), rng))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file with the right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(path: Path, rng: Rng) -> None:
    """Other sizes, depths and kinds of colour, with the right checksum."""
    content = path.read_bytes()
    header = list(struct.unpack_from(">IIBBBBB", content, 16))
    at = rng.integers(7)
    header[at] = (
        int(_choice((0, 1, 2**14, 2**31 - 1, 2**32 - 1), rng))
        if at < 2
        else int(_choice((0, 1, 2, 3, 4, 6, 16, 77), rng))
    )
    path.write_bytes(content[:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + content[33:])


def _png_bomb(path: Path, rng: Rng) -> None:
    content, bomb = path.read_bytes(), zlib.compress(bytes(2**28), 9)
    kind, start = _choice(((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0")), rng)
    path.write_bytes(content[:33] + png_chunk(kind, start + bomb) + content[33:])


def _png_large(path: Path, rng: Rng) -> None:
    """Pixels that need more memory than there is, from a small file."""
    width, height = _choice(((60_000, 60_000), (12_000, 12_000), (2**31 - 1, 1)), rng)
    rows = zlib.compress(bytes(2**22), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    )


PNG = (
    *PICTURE,
    *(Mutation("another header", _png_header),) * 6,
    *(Mutation("a text that unpacks to 256 MiB", _png_bomb),) * 2,
    *(Mutation("more pixels than fit in memory", _png_large),) * 2,
)


def _jpeg_size(path: Path, rng: Rng) -> None:
    content = bytearray(path.read_bytes())
    at = next(content.find(bytes([0xFF, mark])) for mark in (0xC0, 0xC2) if bytes([0xFF, mark]) in content)
    struct.pack_into(
        ">HH", content, at + 5, *map(int, (_choice((0, 1, 65535, 20_000), rng), _choice((0, 1, 65535), rng)))
    )
    path.write_bytes(content)


JPEG = (*PICTURE, *(Mutation("another size in the header", _jpeg_size),) * 4)


def _tiff_tag(path: Path, rng: Rng) -> None:
    """Another type, count or value of one tag of a little-endian TIFF."""
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, directory)
    at = directory + 2 + 12 * int(rng.integers(number))
    part, value = (
        _choice(((2, "<H"), (4, "<I"), (8, "<I"), (8, "<I"), (0, "<H")), rng),
        _choice((0, 1, 2, 5, 9, 77, 40_000, 2**16 - 1, 2**31, 2**32 - 1), rng),
    )
    struct.pack_into(part[1], content, at + part[0], int(value) % (2**16 if part[1] == "<H" else 2**32))
    path.write_bytes(content)


def _tiff_loop(path: Path, rng: Rng) -> None:
    """A directory that names itself as the next one."""
    content = bytearray(path.read_bytes())
    (directory,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<I", content, directory + 2 + 12 * number, directory)
    path.write_bytes(content)


TIFF = (
    *PICTURE,
    *(Mutation("another tag", _tiff_tag),) * 10,
    Mutation("a directory that names itself", _tiff_loop),
    _picture("two pictures", lambda image, rng: image, save_all=True, append_images=[Image.new("L", (5, 5))]),
)


# MATLAB


def _mat(name: str, content: Callable[[np.ndarray, Rng], dict[str, Any]]) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        given = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
        first = next(iter(given.values()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scipy.io.savemat(path, content(first, rng), do_compression=bool(rng.integers(2)))

    return Mutation(name, apply)


def _mat_array(change: Callable[[np.ndarray, Rng], Any]) -> Callable[[np.ndarray, Rng], dict[str, Any]]:
    return lambda first, rng: {"map": change(first if first.dtype.kind in "fiu" else np.ones((4, 2)), rng)}


def _uncompressed(path: Path, rng: Rng, change: Callable[[bytearray, Rng], None]) -> None:
    """Change the bytes of a MATLAB file after its matrices were stored without compression."""
    given = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    scipy.io.savemat(path, given, do_compression=False)
    content = bytearray(path.read_bytes())
    change(content, rng)
    path.write_bytes(content)


def _mat_tag(content: bytearray, rng: Rng) -> None:
    """Another number in one of the words of four bytes after the header."""
    at = (
        128 + 4 * int(rng.integers((len(content) - 128) // 4))
        if rng.random() < 0.5
        else 128 + 4 * int(rng.integers(16))
    )
    struct.pack_into("<I", content, at, int(_choice((0, 1, 5, 9, 14, 15, 17, 99, 2**16 + 1, 2**31, 2**32 - 1), rng)))


MAT = (
    *(
        _mat(name, _mat_array(change))
        for name, change in ARRAYS.items()
        if name not in ("of type longdouble", "of type float16")
    ),
    *(Mutation("another tag", lambda path, rng: _uncompressed(path, rng, _mat_tag)),) * 15,
    _mat("two variables", lambda first, rng: {"a": np.ones((3, 2)), "b": np.ones((3, 2))}),
    _mat("no variable", lambda first, rng: {}),
    _mat("a structure", lambda first, rng: {"map": {"a": first}}),
    _mat("cells", lambda first, rng: {"map": np.array([first, "x"], dtype=object)}),
    _mat("a sparse matrix", lambda first, rng: {"map": scipy.sparse.csc_matrix(np.eye(4))}),
    _mat("structures nested deeply", lambda first, rng: {"map": _nested(30)}),
    Mutation("version 4", lambda path, rng: scipy.io.savemat(path, {"map": np.eye(4)}, format="4")),
    Mutation("version 7.3", lambda path, rng: _mat_7_3(path)),
)


def _nested(depth: int) -> Any:
    return {"a": _nested(depth - 1)} if depth else 1.0


def _mat_7_3(path: Path) -> None:
    path.unlink()
    with h5py.File(path, "w", userblock_size=512) as file:
        file["map"] = np.eye(4)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


# HDF5


def _hdf5(name: str, change: Callable[[h5py.Group, str, Rng], None]) -> Mutation:
    """`change` gets the group and the name of one of the file's arrays, which was taken out."""

    def apply(path: Path, rng: Rng) -> None:
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            chosen = _choice(names, rng)
            array = file[chosen][()]
            del file[chosen]
            file.attrs["array"] = array.ravel()[:50]
            change(file, chosen, rng)

    return Mutation(name, apply)


def _hdf5_array(change: Callable[[np.ndarray, Rng], Any]) -> Callable[[h5py.Group, str, Rng], None]:
    def put(file: h5py.Group, name: str, rng: Rng) -> None:
        changed = np.asarray(change(np.arange(48.0).reshape(6, 8), rng))
        file[name] = (
            changed.astype("S")
            if changed.dtype.kind == "U" and changed.size < 2
            else (np.char.encode(changed, "utf-8") if changed.dtype.kind == "U" else changed)
        )

    return put


HDF5 = (
    *(_hdf5(name, _hdf5_array(change)) for name, change in ARRAYS.items()),
    _hdf5(
        "a huge array without content",
        lambda file, name, rng: file.create_dataset(name, (10**6, 10**6), "f8", chunks=(100, 100)) and None,
    ),
    _hdf5("a link to a file", lambda file, name, rng: file.__setitem__(name, h5py.ExternalLink("/etc/passwd", "/a"))),
    _hdf5("a link to itself", lambda file, name, rng: file.__setitem__(name, h5py.SoftLink(f"/{name}"))),
    _hdf5("a group", lambda file, name, rng: file.create_group(name) and None),
    _hdf5("the root as a group", lambda file, name, rng: file.__setitem__(name, file["/"])),
    _hdf5("records", lambda file, name, rng: file.__setitem__(name, np.zeros(5, [("a", "f8"), ("b", "i4")]))),
    _hdf5("nothing", lambda file, name, rng: file.__setitem__(name, h5py.Empty("f8"))),
    _hdf5(
        "attributes of another kind", lambda file, name, rng: file.attrs.update({"layer_names": 3, "weight_names": 1.5})
    ),
    _hdf5(
        "names of layers that are missing", lambda file, name, rng: file.attrs.update({"layer_names": [b"../x", b""]})
    ),
)


# ZIP


def zip_of(members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    """A ZIP file."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # duplicate names
        for info, content in members:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _zip(name: str, change: Callable[[list[tuple[Any, bytes]], Rng], list[tuple[Any, bytes]]]) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        with zipfile.ZipFile(path) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        path.write_bytes(zip_of(change(members, rng)))

    return Mutation(name, apply)


def _zip_bytes(name: str, change: Callable[[bytearray, Rng], None]) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        content = bytearray(path.read_bytes())
        change(content, rng)
        path.write_bytes(content)

    return Mutation(name, apply)


def _all_headers(content: bytearray, offsets: tuple[int, int], kind: str, value: int) -> None:
    """Change a field in every local header and every entry of the directory."""
    for mark, offset in zip((b"PK\3\4", b"PK\1\2"), offsets, strict=True):
        at = content.find(mark)
        while at >= 0:
            struct.pack_into(kind, content, at + offset, value)
            at = content.find(mark, at + 4)


_ZIP_NAMES = (
    "../escaped.npy",
    "/escaped.npy",
    "a/../../escaped.npy",
    "..\\escaped.npy",
    "C:\\escaped.npy",
    "a\nb.npy",
    "n" * 300 + ".npy",
    "A.npy",
    "a.npy",
    "a/",
    "a\0.npy",
    "con.npy",
    "./a.npy",
    "a//b.npy",
)


def _link(members: list[tuple[Any, bytes]], rng: Rng) -> list[tuple[Any, bytes]]:
    info = zipfile.ZipInfo("a.npy" if rng.random() < 0.5 else "link.npy")
    info.external_attr = 0o120777 << 16
    return [*members, (info, b"/etc/passwd")]


def _renamed_member(members: list[tuple[Any, bytes]], rng: Rng) -> list[tuple[Any, bytes]]:
    at = rng.integers(len(members))
    return [(_choice(_ZIP_NAMES, rng) if i == at else name, content) for i, (name, content) in enumerate(members)]


def _replaced_member(content: bytes) -> Callable[[list[tuple[Any, bytes]], Rng], list[tuple[Any, bytes]]]:
    def change(members: list[tuple[Any, bytes]], rng: Rng) -> list[tuple[Any, bytes]]:
        at = rng.integers(len(members))
        return [(name, content if i == at else own) for i, (name, own) in enumerate(members)]

    return change


def npy_bomb() -> bytes:
    """An .npy of 240 MiB of zeros."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': (5000, {2**20 * 240 // 40_000}), }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(5000 * (2**20 * 240 // 40_000) * 8)


def _ratio(members: list[tuple[Any, bytes]], rng: Rng) -> list[tuple[Any, bytes]]:
    return _replaced_member(_choice((npy_bomb, lambda: bytes(2**29)), rng)())(members, rng)


ZIP = (
    *(_zip("a member of an odd name", lambda members, rng: [*members, (_choice(_ZIP_NAMES, rng), members[0][1])]),) * 8,
    *(_zip("a member renamed", _renamed_member),) * 4,
    *(_zip("a link", _link),) * 2,
    _zip("a name twice", lambda members, rng: [*members, members[rng.integers(len(members))]]),
    _zip("a name twice with other content", lambda members, rng: [*members, (members[0][0], b"x")]),
    _zip("a bomb by ratio", _ratio),
    _zip("a bomb by count", lambda members, rng: [*members, *((f"{i}.npy", b"") for i in range(70_000))]),
    _zip("no member", lambda members, rng: []),
    _zip("a member in another order", lambda members, rng: members[::-1]),
    *(_zip("a member of another kind", _replaced_member(bytes(100))),) * 2,
    _zip("a ZIP file in a ZIP file", lambda members, rng: [("a.npy", zip_of(members))]),
    *(_zip_bytes("encrypted", lambda content, rng: _all_headers(content, (6, 8), "<H", 1)),) * 2,
    *(
        _zip_bytes(
            "an unknown compression",
            lambda content, rng: _all_headers(content, (8, 10), "<H", int(_choice((1, 9, 12, 14, 93, 97, 99), rng))),
        ),
    )
    * 2,
    *(
        _zip_bytes(
            "another size",
            lambda content, rng: _all_headers(content, (22, 24), "<I", int(_choice((0, 1, 2**31, 2**32 - 1), rng))),
        ),
    )
    * 2,
    *(_zip_bytes("another checksum", lambda content, rng: _all_headers(content, (14, 16), "<I", 0)),) * 2,
    Mutation("text before and after", lambda path, rng: path.write_bytes(rng.bytes(50) + path.read_bytes()) and None),
)


# Weights


def _safetensors(name: str, change: Callable[[dict[str, Any], Rng], Any]) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        content = path.read_bytes()
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        changed = change(header, rng)
        text = changed if isinstance(changed, bytes) else json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return Mutation(name, apply)


def _tensor(header: dict[str, Any], rng: Rng) -> dict[str, Any]:
    return header[_choice([name for name in header if name != "__metadata__"], rng)]


def _record(header: dict[str, Any], rng: Rng, change: Callable[[dict[str, Any], Rng], None]) -> None:
    if "__metadata__" in header:
        record = json.loads(header["__metadata__"]["record"])
        change(record, rng)
        header["__metadata__"]["record"] = json.dumps(record)
    else:
        header["__metadata__"] = {"record": "x"}


def _odd_field(record: dict[str, Any], rng: Rng) -> None:
    from mutations import ODD_VALUES

    record[_choice(list(record), rng)] = _choice(ODD_VALUES, rng)


SAFETENSORS = (
    *(
        _safetensors(
            "another type",
            lambda h, rng: _tensor(h, rng).update(dtype=_choice(("F16", "I64", "BOOL", "F8_E4M3", "X", "F64"), rng)),
        ),
    )
    * 3,
    *(
        _safetensors(
            "another shape",
            lambda h, rng: _tensor(h, rng).update(
                shape=_choice(([], [0], [-1], [2**62, 4], [1, 27], [27], "x", [1.5]), rng)
            ),
        ),
    )
    * 3,
    *(
        _safetensors(
            "other offsets",
            lambda h, rng: _tensor(h, rng).update(
                data_offsets=_choice(([0, 0], [4, 2], [0, 2**63], [-4, 4], [0]), rng)
            ),
        ),
    )
    * 3,
    _safetensors(
        "a tensor left out", lambda h, rng: h.pop(next(name for name in h if name != "__metadata__")) and None
    ),
    _safetensors(
        "a tensor too many", lambda h, rng: h.update(more=h[next(name for name in h if name != "__metadata__")])
    ),
    _safetensors("no record", lambda h, rng: h.pop("__metadata__", None) and None),
    *(_safetensors("a record of another kind", lambda h, rng: _record(h, rng, _odd_field)),) * 8,
    *(
        _safetensors(
            "a record without a field",
            lambda h, rng: _record(h, rng, lambda r, rng: r.pop(_choice(list(r), rng)) and None),
        ),
    )
    * 2,
    _safetensors("a record nested deeply", lambda h, rng: h.update(__metadata__={"record": "[" * 100_000})),
    _safetensors("a header nested deeply", lambda h, rng: b"[" * 100_000),
    _safetensors("a header that is not JSON", lambda h, rng: b"x"),
    Mutation(
        "the length of the header",
        lambda path, rng: (
            path.write_bytes(
                struct.pack("<Q", int(_choice((0, 1, 2**32, 2**63, 2**64 - 1), rng))) + path.read_bytes()[8:]
            )
            and None
        ),
    ),
    Mutation("numbers that are not finite", lambda path, rng: _not_finite(path, rng)),
)


def _not_finite(path: Path, rng: Rng) -> None:
    content = bytearray(path.read_bytes())
    content[-16:] = struct.pack("<4f", *(_choice((np.nan, np.inf, 1e38), rng),) * 4)
    path.write_bytes(content)


def _torch(name: str, make: Callable[[Any, Rng], Any], **options: Any) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        import torch

        torch.save(make(torch.load(path, weights_only=True), rng), path, **options)

    return Mutation(name, apply)


def _odd_tensor(state: Any, rng: Rng) -> Any:
    import torch

    first = next(iter(state))
    odd = (
        torch.full((1, 3, 3, 3), torch.nan),
        torch.full((1, 3, 3, 3), torch.inf),
        torch.zeros(0),
        torch.ones(27),
        torch.ones(1, 3, 3, 3, dtype=torch.float64),
        torch.ones(1, 3, 3, 3, dtype=torch.int32),
        torch.tensor(1.0),
        torch.ones(1, 3, 3, 3).to_sparse(),
        torch.ones(1, 3, 3, 3).expand(1, 3, 3, 3),
        torch.ones(1, 3, 3, 3, dtype=torch.complex64),
    )
    return state | {first: _choice(odd, rng)}


PICKLE = (
    *(_torch("an odd tensor", _odd_tensor),) * 8,
    *(
        _torch(
            "something else",
            lambda state, rng: _choice(
                ([], {}, 3, None, "x", {"state": state}, {1: 2}, {"conv.weight": "x"}, [state]), rng
            ),
        ),
    )
    * 4,
    *(_torch("code", lambda state, rng: state | {"code": _Code()}),) * 3,
    *(
        _torch(
            "code in the old format", lambda state, rng: state | {"code": _Code()}, _use_new_zipfile_serialization=False
        ),
    )
    * 2,
    _torch("the old format", lambda state, rng: state, _use_new_zipfile_serialization=False),
    *(
        Mutation(
            "a pickle with code",
            lambda path, rng: path.write_bytes(pickle.dumps(_Code(), int(rng.integers(6)))) and None,
        ),
    )
    * 2,
    Mutation("a pickle that refers to itself", lambda path, rng: path.write_bytes(b"\x80\x02]q\0h\0a.") and None),
    Mutation(
        "a pickle nested deeply",
        lambda path, rng: path.write_bytes(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".") and None,
    ),
    *(Mutation("code in a torch ZIP", lambda path, rng: _zip_pickle(path, pickle.dumps(_Code()))),) * 3,
    *(Mutation("a torch ZIP without a part", lambda path, rng: _without_part(path, rng)),) * 3,
)


def _zip_pickle(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [
            (i.filename, content if i.filename.endswith("data.pkl") else archive.read(i)) for i in archive.infolist()
        ]
    path.write_bytes(zip_of(members))


def _without_part(path: Path, rng: Rng) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [(i.filename, archive.read(i)) for i in archive.infolist()]
    del members[rng.integers(len(members))]
    path.write_bytes(zip_of(members))


def varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def _protobuf_field(path: Path, rng: Rng) -> None:
    """Another length or number somewhere."""
    content = path.read_bytes()
    at = int(rng.integers(len(content)))
    path.write_bytes(content[:at] + varint(int(_choice((0, 1, 2**31, 2**62, 2**64 - 1), rng))) + content[at + 1 :])


PROTOBUF = (
    *(Mutation("another number", _protobuf_field),) * 8,
    Mutation("numbers without end", lambda path, rng: path.write_bytes(b"\xff" * 5000) and None),
    Mutation("messages nested deeply", lambda path, rng: path.write_bytes(_deep_message()) and None),
    Mutation("a huge shape", lambda path, rng: path.write_bytes(path.read_bytes() + _huge_blobs()) and None),
    Mutation("numbers that are not finite", _not_finite),
)


def _deep_message() -> bytes:
    message = b""
    for _ in range(2000):
        message = b"\x0a" + varint(len(message)) + message
    return message


def _huge_blobs() -> bytes:
    """A layer of Caffe, and a node of TensorFlow, of 10^12 numbers."""
    shape = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(10**6),) * 2)
    tensor = b"\x08\x01" + b"\x12" + varint(len(shape)) + shape
    value = b"\x42" + varint(len(tensor)) + tensor
    attribute = b"\x0a\x05value\x12" + varint(len(value)) + value
    node = b"\x0a\x01a" + b"\x12\x05Const" + b"\x2a" + varint(len(attribute)) + attribute
    return b"\x0a" + varint(len(node)) + node
