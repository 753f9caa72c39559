"""Small valid inputs of every kind, the command that reads each, and how it can be damaged."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import formats
import h5py
import numpy as np
import scipy.io
import tifffile
from mutations import ANY, CSV, JSON, TEXT, TOML, Mutation
from PIL import Image

from salbench.edits import NewEdit, Writer
from salbench.identity import Identity
from salbench.journal import Journal
from salbench.metrics import METRICS

SIZE = (24, 32)
IDS = ("a", "b", "c")
KITS = Path(__file__).resolve().parents[1] / "kits"
Bounds = Callable[[str], tuple[float, float]]  # of a column of a table of outputs


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        name: what it is called; a line of the table is named after the part before the colon.
        build: writes valid inputs into a new folder `in`.
        targets: pattern of the files in `in` that are damaged, one in each case.
        command: words after `salbench`, with paths relative to the folder that holds `in` and `out`.
        mutations: ways to damage such a file, beside `ANY`.
        exact: whether every result must be that of the whole file.
    """

    name: str
    build: Callable[[Path], None]
    targets: str
    command: tuple[str, ...]
    mutations: Sequence[Mutation] = ()
    exact: bool = False

    @property
    def every(self) -> list[Mutation]:
        """All ways: those of any file, and those of this kind, which are drawn as often together."""
        return [*ANY * max(1, round(len(self.mutations) / len(ANY))), *self.mutations]


def bounds(file: str, column: str) -> tuple[float, float]:
    """The lowest and highest value that a column of an output can have."""
    if column in METRICS:
        return METRICS[column].bounds
    if column.startswith(("grid", "region", "share", "before", "after")):
        return 0.0, 1.0
    return -np.inf, np.inf


# Pictures and data sets


def smooth(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture with structure, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


def grey(seed: int) -> np.ndarray:
    """A map, float64 (height, width) from 0 to 1."""
    return smooth(seed)[..., 0] / 255


def points(seed: int, number: int = 9, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Fixations, (number, 2) of x, y."""
    return np.random.default_rng(seed).uniform((0, 0), size[::-1], (number, 2)).round(2)


def save_picture(path: Path, kind: str, seed: int = 0) -> None:
    """Write a picture of one of the kinds in `PICTURES`."""
    image = Image.fromarray(smooth(seed))
    if kind == "16 bits":
        image = Image.fromarray((grey(seed) * 65535).astype(np.uint16))
    elif kind in ("1 bit", "palette", "CMYK", "grey"):
        image = image.convert({"1 bit": "1", "palette": "P", "CMYK": "CMYK", "grey": "L"}[kind])
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "animated":
        image.save(path, save_all=True, append_images=[Image.fromarray(smooth(seed + 1))], lossless=True)
    else:
        image.save(path)


PICTURES = {  # kind: (suffix, what can be done to it)
    "JPEG": (".jpg", formats.JPEG),
    "CMYK": (".jpg", formats.JPEG),
    "8 bits": (".png", formats.PNG),
    "16 bits": (".png", formats.PNG),
    "1 bit": (".png", formats.PNG),
    "palette": (".png", formats.PNG),
    "animated": (".webp", formats.PICTURE),
    "TIFF": (".tiff", formats.TIFF),
    "bitmap": (".bmp", formats.PICTURE),
}


def _picture(kind: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        save_picture(folder / "pictures" / f"picture{PICTURES[kind][0]}", kind)
        save_picture(folder / "pictures" / "whole.png", "8 bits")

    return build


def data_set(folder: Path, suffix: str = ".png", table: bool = True) -> None:
    """A folder of your own with three pictures."""
    for seed, id in enumerate(IDS):
        save_picture(folder / "set" / "images" / f"{id}{suffix}", "8 bits", seed)
    if table:
        rows = [(id, k % 3, *point) for seed, id in enumerate(IDS) for k, point in enumerate(points(seed))]
        _table(folder / "set" / "fixations.csv", ("image", "observer", "x", "y"), rows)


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in (header, *rows)) + "\n")


def _pictures_of_a_set(folder: Path) -> None:
    data_set(folder)
    for id, (suffix, kind) in {"d": (".jpg", "JPEG"), "e": (".webp", "animated"), "f": (".tif", "TIFF")}.items():
        save_picture(folder / "set" / "images" / f"{id}{suffix}", kind, 5)


# Maps and fixations


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array as its suffix says; a map from 0 to 1 as a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {"map": array}, do_compression=True)
    elif path.suffix == ".tiff":
        tifffile.imwrite(path, array.astype(np.float32))
    else:
        Image.fromarray((array * 255).astype(np.uint8)).save(path)


def _maps(suffix: str, place: str = "maps") -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        data_set(folder)
        for seed, id in enumerate(IDS):
            save_array(folder / place / f"{id}{suffix}", grey(seed + 9))

    return build


def _maps_in_hdf5(folder: Path) -> None:
    data_set(folder)
    with h5py.File(folder / "maps.h5", "w") as file:
        for seed, id in enumerate(IDS):
            file[f"group/{id}"] = grey(seed + 9)


def _maps_in_zip(folder: Path) -> None:
    _maps(".npy")(folder)
    members = [(f"{id}.npy", (folder / "maps" / f"{id}.npy").read_bytes()) for id in IDS]
    (folder / "maps.zip").write_bytes(formats.zip_of(members))


def _fixations(suffix: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        data_set(folder, table=False)
        for seed, id in enumerate(IDS):
            path = folder / "set" / "fixations" / f"{id}{suffix}"
            if suffix == ".csv":
                _table(path, ("x", "y", "duration"), [(*point, 200) for point in points(seed)])
            elif suffix == ".png":
                seen = np.zeros(SIZE)
                seen[tuple(points(seed).astype(int).T[::-1])] = 1
                save_array(path, seen)
            else:
                save_array(path, points(seed) + (suffix == ".mat"))

    return build


def _eye_tracker(folder: Path) -> None:
    data_set(folder)
    rows = (folder / "set" / "fixations.csv").read_text().splitlines()[1:]
    header = "image\tRECORDING_SESSION_LABEL\tCURRENT_FIX_X\tCURRENT_FIX_Y"
    (folder / "set" / "fixations.csv").write_text("\n".join([header, *(r.replace(",", "\t") for r in rows)]) + "\n")


def _described(folder: Path) -> None:
    data_set(folder)
    (folder / "set" / "images").rename(folder / "set" / "stimuli")
    lines = 'images = "stimuli/{id}.png"', 'fixations = "fixations.csv"', "sigma = 2.5", 'licence = "CC0"'
    splits = "[splits]", 'train = ["a", "b"]', 'test = "test.txt"', 'rest = "c*"'
    (folder / "set" / "dataset.toml").write_text("\n".join((*lines, *splits)) + "\n")
    (folder / "set" / "test.txt").write_text("b\nc\n")
    (folder / "set" / "captions.csv").write_text("image,caption\na,A red bus\nb,Two dogs\n")


# SALICON and COCO

STEMS = [f"COCO_val2014_{number:012d}" for number in (9, 36)]


def _salicon(folder: Path) -> None:
    for seed, stem in enumerate(STEMS):
        for place, suffix in (("images", ".jpg"), ("maps", ".png")):
            path = folder / "SALICON" / place / "val" / f"{stem}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(smooth(seed, (480, 640)))
            (image if suffix == ".jpg" else image.convert("L")).save(path)
        gaze = np.empty((3, 1), dtype=[("location", "O"), ("timestamp", "O"), ("fixations", "O")])
        for observer, row in enumerate(gaze[:, 0]):
            row["location"], row["timestamp"] = np.ones((3, 2)), np.arange(3.0)[:, None]
            row["fixations"] = np.ceil(points(seed * 3 + observer, 5, (480, 640))).astype(np.uint16)
        path = folder / "SALICON" / "fixations" / "val" / f"{stem}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"image": stem, "resolution": np.array([[480, 640]]), "gaze": gaze}
        scipy.io.savemat(path, content, do_compression=True)
    places = [{"id": n, "file_name": f"{stem}.jpg", "height": 480, "width": 640} for n, stem in zip((9, 36), STEMS)]  # noqa: B905
    captions = [{"image_id": 36, "caption": "A skier."}, {"image_id": 9, "caption": "Some soup."}]
    boxes = [{"image_id": 36, "bbox": [20.5, 30, 600, 400], "category_id": 1}]
    for kind, annotations in (("captions", captions), ("instances", boxes)):
        path = folder / "COCO" / "annotations" / f"{kind}_val2014.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"images": places, "annotations": annotations}))


def _salicon_2015(folder: Path) -> None:
    base = folder / "salicon2015_examples"
    images, annotations = [], []
    for n in range(2):
        save_picture(base / "images" / f"COCO_{n}.jpg", "JPEG", n)
        images.append({"id": n, "file_name": f"COCO_{n}.jpg", "height": SIZE[0], "width": SIZE[1]})
        annotations.append({"image_id": n, "worker_id": 0, "fixations": [[1, 2], [3, 4], [1, 2]]})
    (base / "annotations").mkdir()
    path = base / "annotations" / "fixations_train2014examples.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


# Results


def _finished(folder: Path, out: Path) -> None:
    from salbench import datasets
    from salbench.evaluation import Evaluation
    from salbench.protocol import PROTOCOLS
    from salbench.runtime import Runtime

    data_set(folder)
    dataset = datasets.load(f"folder:{folder / 'set'}")
    evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], out, Runtime(workers=1, progress=False))
    for method in ("spectral_residual", "uniform"):
        evaluation.run(method)


def _results(folder: Path) -> None:
    _finished(folder, folder / "results")


def _archive(folder: Path) -> None:
    from salbench import result_archives

    _finished(folder, folder / "results")
    result_archives.pack(folder / "results", folder / "results.zip")


def _unfinished(folder: Path) -> None:
    """A run of which the last image is missing, as its journal says."""
    _finished(folder, folder / "finished")
    out = folder / "out" / "folder+set"
    out.mkdir(parents=True)
    result = json.loads((folder / "finished" / "folder+set" / "spectral_residual.json").read_text())
    journal = Journal(out / "spectral_residual.partial.jsonl", Identity(result["identity"]))
    with open(folder / "finished" / "folder+set" / "spectral_residual.csv", newline="") as file:
        for row in list(csv.DictReader(file))[:2]:
            scores = {name: float(value) if value else None for name, value in row.items() if name != "id"}
            journal.add({"id": row["id"], "scores": scores, "fixations": 9, "resized": False, "zero_share": 0.0})
    journal.close()
    shutil.rmtree(folder / "finished")


# Edit sets, regions and plans


def _edit_set(folder: Path) -> None:
    writer = Writer(folder / "edits", {"maker": "test", "licence": "CC0"})
    mask = np.zeros(SIZE)
    mask[4:15, 5:20] = 1
    for seed in range(3):
        original = smooth(seed)
        bright = np.where(mask[..., None] > 0, np.minimum(original.astype(int) + 60, 255), original).astype(np.uint8)
        made = [NewEdit("brightness", strength, strength, 1, bright) for strength in (0.2, 0.4)]
        writer.add(f"s{seed}", original, {"brightness": mask}, made, source=original)
    writer.finish()


def _study(folder: Path) -> None:
    for seed, id in enumerate(IDS):
        for place in ("original", "edited"):
            _table(folder / place / f"{id}.csv", ("x", "y"), points(seed + 3 * (place == "edited"), 12))
        mask = np.zeros(SIZE)
        mask[4:15, 5:20] = 1
        save_array(folder / "masks" / f"{id}.png", mask)


def _regions(folder: Path) -> None:
    save_picture(folder / "pictures" / "a.png", "8 bits")
    save_array(folder / "mask.png", grey(1) > 0.5)
    (folder / "regions.json").write_text(json.dumps({"face": [2, 3, 20, 18], "sign": "mask.png"}) + "\n")
    _table(
        folder / "regions.csv",
        ("region", "left", "top", "right", "bottom"),
        [("face", 2, 3, 20, 18), ("b", 0, 0, 5, 5)],
    )


def _plan(folder: Path) -> None:
    _results(folder)
    lines = 'dataset = "osie"', 'method = "lite"', 'metric = "nss"', 'tests = ["osie_test"]'
    comparison = "[[comparison]]", 'question = "Does mirroring help?"', 'arm = "hflip"', 'against = "none"'
    (folder / "plan.toml").write_text("\n".join((*lines, *comparison)) + "\n")


# Weights

_METHOD = """
import torch
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint


@register
class Tiny(LearnedMethod):
    '''A method of the tests.'''

    recipe = Recipe(size=(24, 32), epochs=1, batch_size=2)
    checkpoints = (Checkpoint("tiny{suffix}", source="https://example.org", licence="MIT", trained_on="nothing"),)

    def build_network(self):
        return nn.Sequential(nn.Conv2d(3, 1, 3, padding=1, bias=False), nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def published(self, found):
        return {"0.weight": next(iter(found.values())) if isinstance(found, dict) else found}
"""
_TRAINED = _METHOD.replace("    checkpoints", "    # checkpoints")


def _kernel() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 3, 3, 3)).astype(np.float32)


def _write_weights(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = {"conv.weight": torch.tensor(_kernel())}
    if path.suffix in (".pth", ".pt"):
        torch.save(state, path)
    elif path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".npy":
        np.save(path, _kernel())
    elif path.suffix == ".npz":
        np.savez(path, **{"conv.weight": _kernel()})
    elif path.suffix in (".h5", ".hdf5", ".pkl"):
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [b"conv"]
            file.create_group("conv").attrs["weight_names"] = [b"kernel"]
            file["conv/kernel"] = _kernel()
    else:
        path.write_bytes(_protobuf(path.suffix))


def _protobuf(suffix: str) -> bytes:
    """The kernel as Caffe or TensorFlow writes it; fields as in tests/caffemodel_writer.py."""

    def field(number: int, content: bytes) -> bytes:
        return formats.varint(number << 3 | 2) + formats.varint(len(content)) + content

    values, sizes = _kernel().tobytes(), _kernel().shape
    if suffix == ".pb":
        shape = b"".join(field(2, b"\x08" + formats.varint(size)) for size in sizes)
        tensor = field(2, field(8, b"\x08\x01" + field(2, shape) + field(4, values)))
        return field(1, field(1, b"conv") + field(2, b"Const") + field(5, field(1, b"value") + tensor))
    blob = field(5, values) + field(7, field(1, b"".join(map(formats.varint, sizes))))
    return blob if suffix == ".binaryproto" else field(100, field(1, b"conv") + field(7, blob))


def _published(suffix: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        data_set(folder)
        for place in ("methods", "weights/tiny"):
            (folder / place).mkdir(parents=True)
        (folder / "methods" / "tiny.py").write_text(_METHOD.replace("{suffix}", suffix))
        _write_weights(folder / "weights" / "tiny" / f"tiny{suffix}")

    return build


def _trained(folder: Path) -> None:
    import torch

    from salbench.training.checkpoint import Counts, Record, save

    data_set(folder)
    (folder / "methods").mkdir()
    (folder / "methods" / "tiny.py").write_text(_TRAINED)
    (folder / "training").mkdir()
    record = Record(step=3, history=({"epoch": 1, "loss": 0.5},), data=Counts(3, "mine"), notes=("a note",))
    save(folder / "training" / "best.safetensors", {"network.0.weight": torch.tensor(_kernel())}, record)


def _onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    data_set(folder)
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, "h", "w"))
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1])]
    graph = helper.make_graph(nodes, "mean", [given], [helper.make_tensor_value_info("mean", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), folder / "net.onnx")
    lines = 'output = "map"', "mean = [0.5, 0.4, 0.3]", "std = [0.2, 0.3, 0.5]"
    (folder / "net.onnx.toml").write_text("\n".join(lines) + "\n")


# The kinds

_RUN = ("run", "--workers", "1", "--out", "out", "--dataset", "folder:in/set", "--methods")
_SCORE = (*_RUN, "spectral_residual")
_TINY = (*_RUN, "tiny", "--methods-dir", "in/methods", "--weights-root", "in/weights")
_OF_SALICON = (
    "run",
    "--workers",
    "1",
    "--out",
    "out",
    "--dataset",
    "salicon_val",
    "--partial",
    "--data-root",
    "in",
    "--methods",
    "uniform",
)
_MUTATED = {".npy": formats.NPY, ".mat": formats.MAT, ".tiff": formats.TIFF, ".png": formats.PNG, ".csv": CSV}
_WEIGHTS = {
    ".pth": formats.PICKLE,
    ".pt": formats.PICKLE,
    ".safetensors": formats.SAFETENSORS,
    ".npy": formats.NPY,
    ".npz": formats.NPZ,
    ".caffemodel": formats.PROTOBUF,
    ".binaryproto": formats.PROTOBUF,
    ".pb": formats.PROTOBUF,
    ".h5": formats.HDF5,
    ".pkl": formats.HDF5,
}


def _kinds() -> list[Kind]:
    predict = ("predict", "in/pictures", "--method", "spectral_residual", "--out", "out", "--workers", "1")
    kinds = [Kind(f"pictures: {k}", _picture(k), "pictures/picture.*", predict, m) for k, (_, m) in PICTURES.items()]
    kinds += [
        Kind("pictures: of a data set", _pictures_of_a_set, "set/images/*", _SCORE, formats.PICTURE),
        *(
            Kind(f"maps: {s}", _maps(s), "maps/*", (*_RUN, "from_folder:in/maps"), _MUTATED[s])
            for s in (".npy", ".mat", ".tiff", ".png")
        ),
        *(
            Kind(f"densities: {s}", _maps(s, "set/maps"), "set/maps/*", _SCORE, _MUTATED[s])
            for s in (".npy", ".mat", ".png")
        ),
        Kind("maps: HDF5", _maps_in_hdf5, "maps.h5", (*_RUN, "from_folder:in/maps.h5"), formats.HDF5),
        Kind("ZIP files: of maps", _maps_in_zip, "maps.zip", (*_RUN, "from_folder:in/maps.zip"), formats.ZIP),
        Kind("ZIP files: results, check", _archive, "results.zip", ("results", "check", "in/results.zip"), formats.ZIP),
        Kind(
            "ZIP files: results, merge",
            _archive,
            "results.zip",
            ("results", "merge", "in/results.zip", "--out", "out"),
            formats.ZIP,
        ),
        Kind("fixations: table", data_set, "set/fixations.csv", _SCORE, CSV),
        Kind("fixations: of an eye tracker", _eye_tracker, "set/fixations.csv", _SCORE, TEXT),
        *(
            Kind(f"fixations: {s}", _fixations(s), "set/fixations/*", _SCORE, _MUTATED[s])
            for s in (".csv", ".npy", ".mat", ".png")
        ),
        Kind("SALICON .mat", _salicon, "SALICON/fixations/val/*", _OF_SALICON, formats.MAT),
        Kind("SALICON and COCO JSON: COCO", _salicon, "COCO/annotations/*", _OF_SALICON, JSON),
        Kind(
            "SALICON and COCO JSON: 2015",
            _salicon_2015,
            "salicon2015_examples/annotations/*",
            ("data", "check", "salicon2015_examples", "--data-root", "in"),
            JSON,
        ),
        Kind("dataset.toml: run", _described, "set/dataset.toml", _SCORE, TOML),
        Kind("dataset.toml: split", _described, "set/*.t*", (*_SCORE[:-3], "folder:in/set#test", *_SCORE[-2:]), TOML),
        Kind("dataset.toml: import", _described, "set/dataset.toml", ("data", "import", "in/set"), TOML),
        Kind("captions", _described, "set/captions.csv", _SCORE, CSV),
        Kind(
            "result JSON and CSV: table of JSON",
            _results,
            "results/*/s*.json",
            ("table", "--dataset", "folder:in/set", "--out", "in/results"),
            JSON,
        ),
        Kind(
            "result JSON and CSV: pack",
            _results,
            "results/*/s*.json",
            ("results", "pack", "in/results", "--out", "out/r.zip"),
            JSON,
        ),
        Kind(
            "result JSON and CSV: pack of CSV",
            _results,
            "results/*/s*.csv",
            ("results", "pack", "in/results", "--out", "out/r.zip"),
            CSV,
        ),
        Kind(
            "result JSON and CSV: figure",
            _results,
            "results/*/s*",
            ("figure", "ranking", "--results", "in/results", "--datasets", "folder:in/set", "--out", "out/f.svg"),
            TEXT,
        ),
        Kind(
            "result JSON and CSV: run again",
            _results,
            "results/*/s*",
            (*_RUN[:4], "in/results", *_RUN[5:], "spectral_residual"),
            TEXT,
        ),
        Kind(
            "journals",
            _unfinished,
            "out/*/*.jsonl",
            (*_RUN[:4], "in/out", *_RUN[5:], "spectral_residual"),
            JSON,
            exact=True,
        ),
        Kind(
            "edit sets: JSON",
            _edit_set,
            "edits/**/*.json",
            ("study", "--edits", "in/edits", "--methods", "spectral_residual", "--out", "out", "--workers", "1"),
            JSON,
        ),
        Kind(
            "edit sets: pictures",
            _edit_set,
            "edits/**/*.png",
            ("study", "--edits", "in/edits", "--methods", "spectral_residual", "--out", "out", "--workers", "1"),
            formats.PNG,
        ),
        Kind(
            "fixations: of a study",
            _study,
            "*/*.csv",
            ("study", "--original", "in/original", "--edited", "in/edited", "--masks", "in/masks", "--out", "out"),
            CSV,
        ),
        Kind(
            "checkpoints",
            _trained,
            "training/best.safetensors",
            (*_RUN, "tiny:in/training", "--methods-dir", "in/methods"),
            formats.SAFETENSORS,
        ),
        *(Kind(f"published weights: {s}", _published(s), "weights/tiny/*", _TINY, m) for s, m in _WEIGHTS.items()),
        Kind("ONNX: network", _onnx, "net.onnx", (*_RUN, "onnx:in/net.onnx"), formats.PROTOBUF),
        Kind("ONNX: settings", _onnx, "net.onnx.toml", (*_RUN, "onnx:in/net.onnx"), TOML),
        *(
            Kind(
                f"regions and plans: regions{s}", _regions, f"regions{s}", (*predict, "--regions", f"in/regions{s}"), m
            )
            for s, m in ((".json", JSON), (".csv", CSV))
        ),
        Kind("regions and plans: plan", _plan, "plan.toml", ("compare", "in/plan.toml", "--out", "in/results"), TOML),
    ]
    return kinds


KINDS = _kinds()
