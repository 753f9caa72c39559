"""A small command for each verb that writes files, the inputs that it needs, and a way to compare what it wrote."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from salbench import cli

TIMES = ("seconds", "busy", "date")  # what two equal commands may write differently: how long they took, and when
INPUTS = "inputs"

NETWORK = '''
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe

@register
class Small(LearnedMethod):
    """One convolution."""

    recipe = Recipe(size=(24, 32), epochs=4)

    def build_network(self):
        return nn.Sequential(nn.Conv2d(3, 1, 5, padding=2), nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255
'''
EDITOR = '''
import numpy as np
from salbench.edits import MadeEdits, NewEdit
from salbench.registry import SaliencyMethod, register

@register
class Brightener(SaliencyMethod):
    """Brightness by addition."""

    def predict(self, sample):
        return np.ones(sample.size)

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True, scaled=True):
        mask = np.zeros(sample.size)
        mask[:20, :20] = 1
        edits = [
            NewEdit(type, s, s, 1, np.clip(sample.image + 100 * s * mask[..., None], 0, 255).astype(np.uint8))
            for type, strengths in wanted.items() for s in strengths
        ]
        return MadeEdits(sample.image, mask, edits)
'''


@dataclass(frozen=True)
class Command:
    """A command in a folder that holds the inputs as `inputs`.

    Attributes:
        words: the verb and its options.
        needs_torch: whether it loads torch, and so takes seconds instead of tenths.
        clusters: whether it can work on a cluster.
    """

    words: str
    needs_torch: bool = False
    clusters: bool = False

    @property
    def verb(self) -> str:
        return self.words.partition(" ")[0]


COMMANDS = {
    "run": Command(
        "run --methods uniform,spectral_residual --dataset folder:inputs/pictures --out out --save-maps maps "
        "--workers 2",
        clusters=True,
    ),
    "predict": Command(
        "predict inputs/pictures/images --method spectral_residual --out out --workers 2", clusters=True
    ),
    "edit": Command(
        "edit --methods-dir inputs/methods --methods brightener --type brightness --strength 0.2,0.4 "
        "--dataset folder:inputs/pictures --mask saliency --out out/edits",
        clusters=True,
    ),
    "edit --image": Command(
        "edit --methods-dir inputs/methods --methods brightener --type brightness --strength 0.2 "
        "--image inputs/pictures/images/a.png --mask inputs/mask.png --out out/sheet.png"
    ),
    "study": Command(
        "study --edits inputs/edits --methods uniform,spectral_residual --out out --figure out/figure.svg --workers 1",
        clusters=True,
    ),
    "study --plan": Command("study --edits inputs/edits --plan --participants 2 --per-type 2 --strengths 1 --out out"),
    "controls": Command(
        "controls --edits inputs/edits --dataset folder:inputs/pictures --names pixels,masks_random --out out"
    ),
    "report": Command(
        "report --results inputs/results --datasets folder:inputs/pictures --maps inputs/maps --pictures all "
        "--out out --workers 2"
    ),
    "submit": Command(
        "submit --methods uniform --dataset salicon_test --data-root inputs/data --partial --out out", clusters=True
    ),
    "submit --format tuebingen": Command(
        "submit --methods center_bias --dataset folder:inputs/pictures --format tuebingen --out out", clusters=True
    ),
    "results pack": Command("results pack inputs/results --maps inputs/maps --out out/results.zip"),
    "results merge": Command("results merge inputs/results.zip --out out"),
    "figure": Command("figure ranking --results inputs/results --datasets folder+pictures --out out/figure.pdf"),
    "adapt": Command(
        "adapt --methods spectral_residual --dataset folder:inputs/pictures --out out --images 2,all --draws 2 "
        "--scales 0.5,1 --workers 1"
    ),
    "fit": Command(
        "fit --methods-dir inputs/methods --methods small --dataset folder:inputs/split_train --epochs 4 --out out",
        needs_torch=True,
    ),
    "ablate": Command(
        "ablate --methods-dir inputs/methods --methods small --dataset folder:inputs/split --augmentations hflip "
        "--seeds 0,1 --epochs 2 --out out/results --checkpoints out/checkpoints",
        needs_torch=True,
        clusters=True,
    ),
}


def write_inputs(folder: Path) -> None:
    """Write what the commands need into `folder / INPUTS`."""
    place = folder / INPUTS
    _write_data_set(place / "pictures", "abcd", 1)
    _write_data_set(place / "split_train", "abcdefghijkl", 2)
    _write_data_set(place / "split_test", "mnopq", 3)
    (place / "methods").mkdir()
    (place / "methods" / "small.py").write_text(NETWORK)
    (place / "methods" / "brightener.py").write_text(EDITOR)
    mask = np.zeros((48, 64), np.uint8)
    mask[:20, :20] = 255
    Image.fromarray(mask).save(place / "mask.png")
    _write_salicon(place / "data" / "SALICON")
    run = f"run --methods uniform,spectral_residual --dataset folder:{place}/pictures --workers 1"
    _succeed(f"{run} --out {place}/results --save-maps {place}/maps")
    _succeed(f"results pack {place}/results --out {place}/results.zip")
    edit = f"edit --methods-dir {place}/methods --methods brightener --type brightness --strength 0.2,0.4"
    _succeed(f"{edit} --dataset folder:{place}/pictures --mask saliency --out {place}/edits")


def _succeed(words: str) -> None:
    if cli.main(words.split()):
        raise RuntimeError(f"salbench {words}: failed")


def _write_data_set(folder: Path, names: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows: list[Sequence[object]] = [("image", "x", "y", "observer")]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / "images" / f"{name}.png")
        rows += [(name, *(rng.random(2) * [64, 48]), observer) for observer in range(3) for _ in range(4)]
    with open(folder / "fixations.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def _write_salicon(folder: Path) -> None:
    """Three images of SALICON's test split, and three with fixations of its validation split."""
    for split in ("test", "val"):
        (folder / "images" / split).mkdir(parents=True)
        for i in range(3):
            picture = Image.new("RGB", (640, 480), (40 * i + 50,) * 3)
            picture.save(folder / "images" / split / f"COCO_{split}2014_{i:012d}.jpg")
    for kind in ("fixations", "maps"):
        (folder / kind / "val").mkdir(parents=True)
    for i in range(3):
        Image.new("L", (640, 480), 1).save(folder / "maps" / "val" / f"COCO_val2014_{i:012d}.png")
        gaze = np.empty((1, 1), dtype=[("location", "O"), ("timestamp", "O"), ("fixations", "O")])
        gaze[0, 0] = np.ones((3, 2)), np.arange(3.0)[:, None], np.array([[10 * i + 1, 20], [30, 40]], np.uint16)
        content = {"image": f"{i}", "resolution": np.array([[480, 640]]), "gaze": gaze}
        scipy.io.savemat(folder / "fixations" / "val" / f"COCO_val2014_{i:012d}.mat", content)


def new_folder(folder: Path, inputs: Path) -> Path:
    """Make an empty folder to run a command in, beside the inputs."""
    folder.mkdir(parents=True)
    (folder / INPUTS).symlink_to(inputs / INPUTS)
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    """{path: content without times} of every file that a command left in its folder, hidden ones too."""
    paths = (path for path in folder.rglob("*") if path.is_file() and INPUTS not in path.relative_to(folder).parts[:1])
    return {path.relative_to(folder).as_posix(): without_times(path) for path in sorted(paths)}


def without_times(path: Path) -> bytes:
    """The content of a file without `TIMES`: keys of JSON and of checkpoints' records, columns of CSV."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return _dumped(_timeless(json.loads(content)))
    if path.name == "log.csv":
        rows = csv.DictReader(io.StringIO(content.decode()))
        return _dumped([_timeless(row) for row in rows])
    if path.suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        record = json.loads(header.pop("__metadata__", {}).get("record", "{}"))
        return _dumped([header, _timeless(record)]) + content[8 + length :]
    return content


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _dumped(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def cut_off(folder: Path) -> list[str]:
    """Files of a stopped command that carry their final name but are not whole. Journals may end anywhere."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and INPUTS not in path.relative_to(folder).parts[:1] and not path.name.startswith("."):
            try:
                _READERS.get(path.suffix, lambda path: None)(path)
            except Exception as error:
                found.append(f"{path.relative_to(folder)}: cut off: {error}")
    return found


def _picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        file.testzip()


def _hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, locking=False) as file:
        file.visititems(lambda name, item: item[()])


def _lines(path: Path) -> None:
    if not path.read_bytes().endswith(b"\n"):
        raise ValueError("its last line has no end")


_READERS: dict[str, Callable[[Path], object]] = {
    ".png": _picture, ".jpg": _picture, ".webp": _picture, ".zip": _archive, ".h5": _hdf5, ".csv": _lines,
    ".md": _lines, ".html": _lines, ".js": _lines, ".json": without_times, ".safetensors": without_times,
}  # fmt: skip
