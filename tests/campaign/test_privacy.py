"""Nothing that salbench writes names the user, the home folder, the folders of the data or the machine.

Every verb that writes files runs as the user alice-canary on the machine canary-host. All files that it writes are
searched, also inside ZIP files, pictures and compressed streams.
"""

import io
import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from forked import GIB
from PIL import Image
from server import Server

USER, HOST = "alice-canary", "canary-host"
CANARIES = re.compile(f"{USER}|{HOST}".encode())
# What a machine would answer, in place of what this one does.
_MACHINE = f"""
import os, platform, socket
socket.gethostname = socket.getfqdn = platform.node = lambda *_: {HOST!r}
_uname = os.uname()
os.uname = lambda: os.uname_result((_uname.sysname, {HOST!r}, _uname.release, _uname.version, _uname.machine))
"""
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
    """The home folder of the user, with data, a working folder `work` and what makes this machine another one."""
    home = tmp_path_factory.mktemp("home") / USER
    (home / "machine").mkdir(parents=True)
    (home / "machine" / "sitecustomize.py").write_text(_MACHINE)
    (home / "work").mkdir()
    for seed, (name, images) in enumerate({"set_train": 30, "set_test": 6}.items()):
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


@pytest.fixture(scope="module")
def salbench(home):
    """A function that executes a command of the user in their working folder, with whole paths as inputs."""
    environment = {"HOME": str(home), "USER": USER, "LOGNAME": USER, "HOSTNAME": HOST, "PYTHONPATH": _path(home)}
    with Server(environment) as server:
        yield lambda *words: server.run(words, home / "work", memory=8 * GIB, seconds=900)


def _path(home: Path) -> str:
    return f"{home / 'machine'}:{Path(__file__).resolve().parents[2]}"


def commands(home: Path) -> dict[str, list[object]]:
    """{folder that the command writes: its words}; later ones read what earlier ones have written."""
    data, work = home / "data", home / "work"
    one, masks, damaged = f"folder:{data / 'set_test'}", data / "set_test/masks", data / "damaged"
    short = ["--methods", "lite", "--epochs", 1, "--size", "48x64"]
    trained = f"lite:mine={work}/checkpoints/lite/folder+set_train/seed0"
    edits = ["--edits", work / "edits"]
    return {
        "maps": ["run", "--methods", "spectral_residual,lite", "--dataset", one, "--save-maps", work / "maps"],
        "checkpoints": ["fit", *short, "--dataset", f"folder:{data / 'set_train'}", "--logger", "tensorboard"],
        "results": ["run", "--methods", trained, "--dataset", one],
        "failed": ["run", "--methods", "spectral_residual", "--dataset", f"folder:{damaged}", "--out", work / "failed"],
        "edits": [
            *("edit", "--dataset", one, "--mask", masks, "--type", "brightness", "--strength", "0.2", "--limit", 2),
            *("--out", work / "edits", "--unconstrained"),
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
        ended = salbench(*words)
        assert ended.status == int(folder in ("failed", "predictions")), (words, ended.output, ended.errors)
        assert any(path.is_file() for path in (home / "work" / folder).rglob("*")), folder
    assert found(home / "work") == []
