"""Ways to damage a file, or to write it in another way. Each takes a path and a random generator.

A mutation with `same` keeps the meaning of the file: a command must give the result of the undamaged one.
"""

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
CANARY = "CODE_WAS_EXECUTED"  # file that a pickle with code makes in the working folder


@dataclass(frozen=True)
class Mutation:
    """One way: what it is called, what it does to a file, and whether the file still means the same."""

    name: str
    apply: Callable[[Path, Rng], None]
    same: bool = False


def _of_bytes(name: str, change: Callable[[bytearray, Rng], bytes | bytearray], same: bool = False) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        path.write_bytes(change(bytearray(path.read_bytes()), rng))

    return Mutation(name, apply, same)


def _flip(content: bytearray, rng: Rng, first: int = 0, last: int | None = None) -> bytearray:
    stop = min(last or len(content), len(content))
    for at in rng.integers(max(0, min(first, stop - 1)), stop, rng.integers(1, 9)) if stop else ():
        content[at] ^= 1 << rng.integers(8)
    return content


def _overwritten(content: bytearray, rng: Rng) -> bytearray:
    at, length = rng.integers(max(1, len(content))), rng.integers(1, 64)
    content[at : at + length] = bytes([rng.choice([0, 255, 128])]) * length
    return content


def _zeroed_header(content: bytearray, rng: Rng) -> bytearray:
    at, length = rng.integers(0, 100), rng.integers(1, 60)
    content[at : at + length] = bytes(length)
    return content


def _moved(content: bytearray, rng: Rng) -> bytes:
    at, to = sorted(rng.integers(0, len(content) + 1, 2))
    return bytes(content[:at]) + bytes(content[to:]) + bytes(content[at:to])


def _without_some(content: bytearray, rng: Rng) -> bytearray:
    at = rng.integers(max(1, len(content)))
    del content[at : at + rng.integers(1, 40)]
    return content


def _with_more(content: bytearray, rng: Rng) -> bytes:
    at = rng.integers(len(content) + 1)
    return bytes(content[:at]) + rng.bytes(rng.integers(1, 40)) + bytes(content[at:])


class _Code:
    """Pickled, it makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (CANARY,)


STRANGERS = (  # contents of other kinds
    b"<!DOCTYPE html><html><body>Sign in</body></html>\n",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n",
    b"\x89PNG\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    b"\x93NUMPY",
    b"\x89HDF\r\n\x1a\n",
    b"MATLAB 5.0 MAT-file",
    b"\xff\xd8\xff\xe0",
    b"[" * 200_000,
    b"\0" * 4096,
    b" \n\t\n",
    pickle.dumps(_Code()),
)


def _as_link(path: Path, to: str | None) -> None:
    """A link to the file, which is moved away; or to `to`."""
    if to is None:
        to = f".moved/{path.name}"  # of the same name, because a name can be a label
        (path.parent / ".moved").mkdir()
        path.rename(path.parent / to)
    else:
        path.unlink()
    path.symlink_to(to)


def _as_folder(path: Path, _: Rng) -> None:
    path.unlink()
    path.mkdir()


ANY = (  # for files of any kind
    _of_bytes("empty", lambda content, rng: b""),
    _of_bytes("truncated", lambda content, rng: content[: rng.integers(max(1, len(content)))]),
    _of_bytes("truncated in the header", lambda content, rng: content[: rng.integers(1, 128)]),
    _of_bytes("without the last byte", lambda content, rng: content[:-1]),
    _of_bytes("flipped bits", _flip),
    _of_bytes("flipped bits in the header", lambda content, rng: _flip(content, rng, 0, 128)),
    _of_bytes("flipped bits at the end", lambda content, rng: _flip(content, rng, len(content) - 128)),
    _of_bytes("overwritten", _overwritten),
    _of_bytes("zeroed header", _zeroed_header),
    _of_bytes("parts in another order", _moved),
    _of_bytes("bytes left out", _without_some),
    _of_bytes("bytes inserted", _with_more),
    _of_bytes("another kind of file", lambda content, rng: STRANGERS[rng.integers(len(STRANGERS))]),
    Mutation("a link", lambda path, rng: _as_link(path, None), same=True),
    Mutation("a link to nothing", lambda path, rng: _as_link(path, "nothing")),
    Mutation("a link to itself", lambda path, rng: _as_link(path, path.name)),
    Mutation("a folder", _as_folder),
    Mutation("missing", lambda path, rng: path.unlink()),
)


# Text


def _of_text(name: str, change: Callable[[str, Rng], str | bytes], same: bool = False) -> Mutation:
    def apply(path: Path, rng: Rng) -> None:
        changed = change(path.read_bytes().decode(), rng)
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode("utf-8", "surrogatepass"))

    return Mutation(name, apply, same)


def _inserted(text: str, rng: Rng, what: str) -> str:
    at = rng.integers(len(text) + 1)
    return text[:at] + what + text[at:]


ODD_NAMES = ("a\nb", "n" * 300, "..", "../../escaped", "/escaped", "A", "C:\\escaped", "a\0b", "ä", "", " a ", "con")
TEXT = (
    _of_text("CRLF", lambda text, rng: text.replace("\n", "\r\n"), same=True),
    _of_text("BOM", lambda text, rng: "\ufeff" + text, same=True),
    _of_text("without the last line break", lambda text, rng: text.rstrip("\n"), same=True),
    _of_text("old Mac line breaks", lambda text, rng: text.replace("\n", "\r")),
    _of_text("UTF-16", lambda text, rng: text.encode("utf-16")),
    _of_text("Latin-1", lambda text, rng: _inserted(text, rng, "é").encode("latin-1")),
    _of_text("NUL", lambda text, rng: _inserted(text, rng, "\0")),
    _of_text("half a surrogate", lambda text, rng: _inserted(text, rng, "\ud800")),
    _of_text("a quote too many", lambda text, rng: _inserted(text, rng, '"')),
    _of_text("an odd name inserted", lambda text, rng: _inserted(text, rng, ODD_NAMES[rng.integers(len(ODD_NAMES))])),
    _of_text("a very long line", lambda text, rng: _inserted(text, rng, "x" * 300_000)),
    _of_text(
        "a line twice",
        lambda text, rng: (lines := text.splitlines(True)) and "".join([*lines, lines[rng.integers(len(lines))]]),
    ),
    _of_text(
        "a line left out",
        lambda text, rng: "".join(
            line for i, line in enumerate(text.splitlines(True)) if i != rng.integers(text.count("\n") + 1)
        ),
    ),
)

# CSV

ODD_CELLS = (
    "nan",
    "inf",
    "-inf",
    "1e999",
    "-1",
    "1e308",
    "9" * 5000,
    "",
    "x",
    "1;2",
    "0x10",
    "1_0",
    "٣",
    "=1+1",
    "NULL",
    "'1",
    *ODD_NAMES,
)


def _cell(text: str, rng: Rng, what: str, header: bool) -> str:
    lines = text.splitlines()
    row = 0 if header else rng.integers(1, len(lines))
    cells = lines[row].split(",")
    cells[rng.integers(len(cells))] = f'"{what}"' if "\n" in what else what
    lines[row] = ",".join(cells)
    return "\n".join(lines) + "\n"


CSV = (
    *TEXT,
    *(
        _of_text(f"a cell {cell[:12]!r}", lambda text, rng, cell=cell: _cell(text, rng, cell, False))
        for cell in ODD_CELLS
    ),
    *(
        _of_text(f"a column {cell[:12]!r}", lambda text, rng, cell=cell: _cell(text, rng, cell, True))
        for cell in ODD_NAMES
    ),
    _of_text("a cell too many", lambda text, rng: text.replace("\n", ",1\n", rng.integers(1, 3))),
    _of_text("no header", lambda text, rng: text.partition("\n")[2]),
    _of_text("the header alone", lambda text, rng: text.partition("\n")[0] + "\n"),
    _of_text(
        "cells in quotes",
        lambda text, rng: "".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in text.splitlines()
        ),
        same=True,
    ),
)

# JSON and TOML

ODD_VALUES = (
    None,
    True,
    "",
    "x",
    -1,
    0,
    1e308,
    10**400,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"a": 1},
    "n" * 300,
    "..",
    "/escaped",
    "a\nb",
    "\ud800",
    1.5,
    [1, 2, 3],
    "1",
    "NaN",
)


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside a value."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [(node, key) for key, _ in items] + [place for _, value in items for place in _places(value)]


def _of_json(name: str, change: Callable[[Any, Any, Rng], None]) -> Mutation:
    """`change` gets a container in the file and one of its keys. A file of several lines has a value per line."""

    def apply(path: Path, rng: Rng) -> None:
        lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        which = rng.integers(len(lines))
        content = json.loads(lines[which].partition("\t")[0])
        every = _places(content)
        places = [place for place in every if place[0] is content] if rng.random() < 0.3 else every
        change(*places[rng.integers(len(places))], rng)
        lines[which] = json.dumps(content) + "".join(lines[which].partition("\t")[1:])
        path.write_text("\n".join(lines) + "\n")

    return Mutation(name, apply)


def _with_odd_value(container: Any, key: Any, rng: Rng) -> None:
    container[key] = ODD_VALUES[rng.integers(len(ODD_VALUES))]


def _renamed(container: Any, key: Any, rng: Rng) -> None:
    if isinstance(container, dict):
        container[ODD_NAMES[rng.integers(len(ODD_NAMES))]] = container.pop(key)
    else:
        container.append(container[key])


def _nested(container: Any, key: Any, rng: Rng) -> None:
    for _ in range(500):
        container[key] = [container[key]]


def _as_text(container: Any, key: Any, rng: Rng) -> None:
    container[key] = str(container[key])


JSON = (
    *TEXT,
    *(_of_json("a value of another kind", _with_odd_value),) * 10,
    *(_of_json("a key left out", lambda container, key, rng: container.pop(key)),) * 5,
    *(_of_json("another key", _renamed),) * 4,
    _of_json("a value nested deeply", _nested),
    _of_json("a number as text", _as_text),
    _of_text("nested deeply", lambda text, rng: "[" * 100_000 + text + "]" * 100_000),
    _of_text("objects nested deeply", lambda text, rng: '{"a":' * 100_000 + "1" + "}" * 100_000),
    _of_text(
        "a key twice", lambda text, rng: text.replace("{", '{"schema": 1, "images": 2, "face": 3, "identity": 4,', 1)
    ),
)

ODD_LINES = (
    "x = 1",
    "images = 3",
    'images = "{id}"',
    'images = "../../{id}"',
    'images = "/{id}"',
    'images = "{id}{id}"',
    'images = "**/{id}"',
    'images = "[{id}"',
    'images = "*/{id}{split}"',
    'fixations = "../in.csv"',
    'fixations = "."',
    'fixations = ""',
    'maps = "{id}"',
    "base = 2",
    "base = true",
    "base = 0.0",
    "base = -1",
    "sigma = nan",
    "sigma = inf",
    "sigma = 0",
    "sigma = -3",
    "sigma = 1e300",
    "sigma = 1e-300",
    "sigma = '1'",
    "pixels_per_degree = 1e9",
    "off_image = 1",
    "off_image = []",
    "redistribute = 1",
    "citation = 1979-05-27",
    "gaze = ''",
    "splits = 1",
    "a.b.c.d = 1",
    "[[splits]]",
    "[splits]\ntrain = 3",
    "[splits]\ntrain = []",
    '[splits]\ntrain = ["../x"]',
    '[splits]\ntrain = "["',
    '[splits]\n"a/b" = "*"',
    "[splits]\n'' = '*'",
    "mean = [0]",
    "std = [0, 0, 0]",
    "size = [1e9, 1e9]",
    "size = [0, 0]",
    "size = [30000, 30000]",
    "white = nan",
    "mean = [nan, inf, 0]",
    "output = 3",
    'layout = "NHWC"',
    'channels = "GBR"',
    "metric = 3",
    "tests = []",
    "tests = 1",
    "tests = [[]]",
    "[[comparison]]",
    'method = "../x"',
    'dataset = "/x"',
    'protocol = "x"',
    "a = " + "[" * 5000 + "]" * 5000,
    "a = " + "9" * 5000,
    "a = " + "{b=" * 3000,
)


def _other_line(text: str, rng: Rng) -> str:
    """One of the odd lines, in place of the line with the same key if there is one."""
    odd = ODD_LINES[rng.integers(len(ODD_LINES))]
    lines = [line for line in text.splitlines() if line.partition("=")[0].strip() != odd.partition("=")[0].strip()]
    return "\n".join([*lines, odd] if odd.startswith("[") else [odd, *lines]) + "\n"


TOML = (*TEXT, *(_of_text("an odd line", _other_line),) * 20)
