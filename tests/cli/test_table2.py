"""`salbench table2`: trainings without and with edits in the layout of the paper's Table 2."""

import shutil

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from small_networks import imagenet_state
from trainable import SEEN, SIZE, small_methods

from salbench import datasets, registry, weights
from salbench.cli import _options
from salbench.datasets import salicon
from salbench.edit_controls import changed
from salbench.edits import NewEdit, Writer
from salbench.files import read_image


@pytest.fixture
def edits(tmp_path, write_data_set):
    """Splits x_train and x_test of a folder data set, and an edit set of two training images."""
    train = write_data_set(tmp_path / "x_train", "abcdefghij", 0)
    write_data_set(tmp_path / "x_test", "klm", 1)
    writer = Writer(tmp_path / "edits", {"method": "by hand"})
    for name in "ab":
        image = read_image(train / "images" / f"{name}.png")
        mask = np.zeros(image.shape[:2])
        mask[10:30, 20:40] = 1
        edit = NewEdit("contrast", 1.5, 1.5, 1, 255 - image)
        writer.add(name, image, {"contrast": mask}, [edit], source=image, inputs="")
    writer.finish()
    return tmp_path / "edits"


def cells(text, name):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    ((_, *found),) = [row for row in rows if row[0] == name]
    return found


def test_without_and_with_edits_beside_what_the_paper_claims(edits, network, salbench, tmp_path, capsys):
    words = ["--edits", edits, "--dataset", f"folder:{tmp_path / 'x'}", "--methods-dir", network, "--seeds", "0,1"]
    words += ["--out", tmp_path / "r", "--checkpoints", tmp_path / "c", "--batch-size", 4]
    assert salbench("table2", *words, "--methods", "small") == 0
    printed = capsys.readouterr().out
    header = next(line for line in printed.splitlines() if line.startswith("| method"))
    columns = [column.strip() for column in header.strip("|").split("|")[1:]]
    assert columns[:4] == ["kl w/o ↓", "kl w/ ↓", "nss w/o ↑", "nss w/ ↑"]
    assert cells(printed, "UNISAL (paper)")[:2] == ["0.226", "0.212"]
    files = {arm: sorted((tmp_path / "r").rglob(f"small+{arm}*.csv")) for arm in ("none", "edits")}
    means = {arm: np.mean([pandas.read_csv(path)["kl"].mean() for path in of_arm]) for arm, of_arm in files.items()}
    assert [len(of_arm) for of_arm in files.values()] == [2, 2]
    assert cells(printed, "small (measured)")[:2] == [f"{means[arm]:.3f}" for arm in ("none", "edits")]
    change = means["edits"] - means["none"]
    assert cells(printed, "small")[0].split()[0].strip("*") == f"{change:+.3f}"
    assert "3 images x 2 seeds" in printed
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("best.safetensors")}
    assert salbench("table2", *words, "--methods", "small") == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("best.safetensors")} == kept
    assert capsys.readouterr().out == printed


def test_a_kept_training_is_a_row_of_its_own(network, salbench, tmp_path, write_data_set):
    data = write_data_set(tmp_path / "x_train", "abcdefghij", 0)
    fit = ["fit", "--methods", "small", "--methods-dir", network, "--dataset", f"folder:{data}"]
    assert salbench(*fit, "--out", tmp_path / "c") == 0
    (place,) = tmp_path.glob("c/small/*/seed0")
    shutil.copytree(place, tmp_path / "weights" / "small+aug")
    options = _options.Namespace(methods="all", methods_dir=None, weights_root=tmp_path / "weights")
    assert f"small:aug={tmp_path / 'weights' / 'small+aug'}" in _options.methods(options)
    assert registry.create(f"small:aug={tmp_path / 'weights' / 'small+aug'}").label == "small+aug"


def write_salicon(root, split, number, seed):
    """A part of SALICON in its published folders, with pictures of fixations: people look at a bright disc."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for i in range(number):
        stem, (x, y) = f"COCO_{split}2014_{i + 1:012d}", rng.uniform((16, 16), (144, 112))
        image = np.full((*SIZE, 3), rng.integers(60, 120, 3), np.uint8)
        image[np.hypot(columns - x, rows - y) < 10] = rng.integers(150, 255, 3)
        points = rng.normal((x, y), 6, (24, 2)).clip(0, (SIZE[1] - 1, SIZE[0] - 1)).astype(int)
        fixated = np.zeros(SIZE, np.uint8)
        fixated[points[:, 1], points[:, 0]] = 255
        density = gaussian_filter(fixated.astype(float), 5)
        parts = {"images": image, "fixations": fixated, "maps": np.uint8(255 * density / density.max())}
        for part, picture in parts.items():
            (root / "SALICON" / part / split).mkdir(parents=True, exist_ok=True)
            suffix = ".jpg" if part == "images" else ".png"
            Image.fromarray(picture).save(root / "SALICON" / part / split / f"{stem}{suffix}")


def write_edits(folder, samples):
    """An edit of contrast of every image, in its middle."""
    writer = Writer(folder, {"method": "by hand"})
    mask = np.zeros(SIZE)
    mask[40:80, 50:110] = 1
    for sample in samples:
        edit = NewEdit("contrast", 1.5, 1.5, 1, changed("contrast", sample.image, mask, 1.5))
        writer.add(sample.id, sample.image, {"contrast": mask}, [edit], source=sample.image)
    writer.finish()


NAMES = "unisal", "deepgaze_iie", "diffusion_readout"


def test_networks_of_the_table_on_a_part_of_salicon(salbench, tmp_path, capsys):
    """One that is trained whole, one on frozen backbones and one on a diffusion model, with few weights."""
    words = ["--edits", tmp_path / "edits", "--data-root", tmp_path, "--partial", "--epochs", 1, "--batch-size", 4]
    words += ["--weights-root", tmp_path / "weights", "--backbone", tmp_path / "backbone"]
    words += ["--out", tmp_path / "r", "--checkpoints", tmp_path / "c"]
    with small_methods(tmp_path) as patch:
        patch.setattr(salicon, "SIZE", SIZE)
        patch.setattr(registry.get("diffusion_readout"), "timesteps", 1)
        write_salicon(tmp_path, "train", 8, 0)
        write_salicon(tmp_path, "val", 3, 1)
        with datasets.allow_partial():
            write_edits(tmp_path / "edits", datasets.load("salicon_train", tmp_path).samples)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # for features
        for file in registry.get("unisal").imagenet:
            torch.save(imagenet_state("unisal"), weights.folder("imagenet", tmp_path / "weights") / file.file)
        for name in NAMES:
            size = [] if name == "diffusion_readout" else ["--size", "x".join(map(str, SEEN[name]))]
            assert salbench("table2", *words, "--methods", name, *size) == 0
    printed = capsys.readouterr().out.rpartition("Table 2:")[2]
    for name in NAMES:
        assert np.isfinite([float(cell.strip("*")) for cell in cells(printed, f"{name} (measured)")]).all()
        assert [len(list((tmp_path / "r").rglob(f"{name}+{arm}*.csv"))) for arm in ("none", "edits")] == [1, 1]
    assert "3 images x 1 seeds" in printed
