"""`salbench table2`: trainings without and with edits in the layout of the paper's Table 2."""

import shutil

import numpy as np
import pandas
import pytest

from salbench import registry
from salbench.cli import _options
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
