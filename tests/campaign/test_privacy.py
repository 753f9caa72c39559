"""Nothing that salbench writes names the user, the home folder, the folders of the data or the machine.

Every verb that writes files runs as the user alice-canary on the machine canary-host. All files that it writes are
searched, also inside ZIP files, pictures and compressed streams.
"""

import io
import json
import os
import platform
import re
import shutil
import socket
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from verbs import EDITOR

from salbench import cli, registry

USER, HOST = "alice-canary", "canary-host"
CANARIES = re.compile(f"{USER}|{HOST}".encode())
SIZE = (48, 64)
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)  # of a PDF


def hidden(name: str, content: bytes) -> Iterator[bytes]:
    """The content of a file, and what is compressed or packed in it."""
    yield name.encode()
    yield content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            yield file.comment
            for member in file.infolist():
                yield from hidden(member.filename, file.read(member))
    if content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as image:
            yield repr(image.info).encode()
    if content.startswith(b"%PDF"):
        yield from (
            zlib.decompressobj().decompress(stream) for stream in _STREAM.findall(content) if stream[:1] == b"x"
        )


def found(folder: Path) -> list[str]:
    """Each file that holds a canary, with what is around it."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        for part in hidden(name, path.read_bytes()):
            lines += [f"{name}: {part[max(0, m.start() - 60) : m.end() + 40]!r}" for m in CANARIES.finditer(part)]
    return lines


@pytest.mark.parametrize("kind", ["text", "zip", "png", "pdf", "name"])
def test_canaries_are_found(tmp_path, kind):
    text = f"/home/{USER}/data"
    if kind == "text":
        (tmp_path / "a.json").write_text(json.dumps(text))
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("b.txt", text * 99)
    elif kind == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("by", text, zip=True)
        Image.new("L", (2, 2)).save(tmp_path / "a.png", pnginfo=info)
    elif kind == "pdf":
        (tmp_path / "a.pdf").write_bytes(b"%PDF stream\n" + zlib.compress(text.encode() * 99) + b"endstream")
    else:
        (tmp_path / HOST).write_text("")
    assert found(tmp_path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home folder of the user, with data, a method that edits, and a working folder `work`."""
    home = tmp_path_factory.mktemp("home") / USER
    for name in ("work", "methods"):
        (home / name).mkdir(parents=True)
    (home / "methods/brightener.py").write_text(EDITOR)
    for seed, (name, images) in enumerate({"set_train": 14, "set_test": 4}.items()):  # a training holds out number 13
        _write_data_set(home / "data" / name, images, seed)
    shutil.copytree(home / "data/set_test", home / "data/damaged")
    damaged = home / "data/damaged/images/101.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    return home


def _write_data_set(folder: Path, images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["image,x,y,observer"]
    for number in range(100 * seed, 100 * seed + images):
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(folder / f"images/{number}.png")
        mask = np.zeros(SIZE, np.uint8)
        mask[10:30, 10:40] = 255
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
        lines += [f"{number},{x:.1f},{y:.1f},{i % 2}" for i, (x, y) in enumerate(rng.uniform(0, 40, (6, 2)))]
    (folder / "fixations.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def salbench(home, monkeypatch):
    """A function that executes a command of the user in their working folder on their machine."""
    for name, value in {"HOME": home, "USER": USER, "LOGNAME": USER, "HOSTNAME": HOST}.items():
        monkeypatch.setenv(name, str(value))
    for module, name in ((socket, "gethostname"), (socket, "getfqdn"), (platform, "node")):
        monkeypatch.setattr(module, name, lambda *_: HOST)
    system, _, *others = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system, HOST, *others)))
    monkeypatch.setattr(platform, "_uname_cache", None)  # which it remembers from its first use
    monkeypatch.setattr(registry, "_FOLDERS", registry._FOLDERS[:1])
    monkeypatch.chdir(home / "work")
    return lambda *words: cli.main([str(word) for word in words])


def commands(home: Path) -> dict[str, list[object]]:
    """{folder that the command writes: its words}; later ones read what earlier ones have written."""
    data, work = home / "data", home / "work"
    one, masks, damaged = f"folder:{data / 'set_test'}", data / "set_test/masks", data / "damaged"
    short = ["--methods", "lite", "--epochs", 1, "--size", "24x32"]
    trained = f"lite:mine={work}/checkpoints/lite/folder+set_train/seed0"
    edits = ["--edits", work / "edits"]
    return {
        "maps": ["run", "--methods", "spectral_residual,lite", "--dataset", one, "--save-maps", work / "maps"],
        "checkpoints": ["fit", *short, "--dataset", f"folder:{data / 'set_train'}", "--logger", "tensorboard"],
        "results": ["run", "--methods", trained, "--dataset", one],
        "failed": ["run", "--methods", "spectral_residual", "--dataset", f"folder:{damaged}", "--out", work / "failed"],
        "edits": [
            *("edit", "--dataset", one, "--mask", masks, "--type", "brightness", "--strength", "0.2", "--limit", 2),
            *("--out", work / "edits", "--methods-dir", home / "methods", "--methods", "brightener"),
        ],
        "study": ["study", *edits, "--methods", "spectral_residual,unisal", "--figure", work / "study/a.pdf"],
        "observed": [
            *("study", "--original", masks, "--edited", masks, "--masks", masks, "--images", damaged / "images"),
            *("--out", work / "observed"),
        ],
        "plan": [
            *("study", *edits, "--plan", "--participants", 2, "--strengths", 1, "--per-type", 2),
            *("--out", work / "plan"),
        ],
        "ablations": [
            *("ablate", *short, "--dataset", f"folder:{data / 'set'}", "--augmentations", "hflip", "--p", "0.5"),
            *("--checkpoints", work / "ablations/checkpoints", "--out", work / "ablations"),
        ],
        "site": ["report", "--results", work / "results", "--out", work / "site"],
        "packed": ["results", "pack", work / "results", "--maps", work / "maps", "--out", work / "packed/mine.zip"],
        "submissions": ["submit", "--methods", "lite", "--dataset", one, "--format", "tuebingen"],
        "predictions": ["predict", damaged / "images", "--method", "spectral_residual"],
        "figures": [
            *("figure", "ranking", "--results", work / "results", "--datasets", one, "--metrics", "nss"),
            *("--out", work / "figures/a.pdf"),
        ],
    }


@pytest.mark.slow
def test_no_verb_writes_who_ran_it_where(home, salbench):
    for folder, words in commands(home).items():
        assert salbench(*words) == int(folder in ("failed", "predictions")), words
        assert any(path.is_file() for path in (home / "work" / folder).rglob("*")), folder
    assert found(home / "work") == []
