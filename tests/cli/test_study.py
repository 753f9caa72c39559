"""`salbench study`."""

import csv

import numpy as np
import pytest
from PIL import Image

from salbench.edits import NewEdit, Writer

SIZE = (40, 60)
LEFT = np.zeros(SIZE)
LEFT[:, :30] = 1  # the region of every image


def points(inside, outside):
    """That many fixations left and right of the middle."""
    rng = np.random.default_rng(0)
    left, right = rng.uniform((0, 0), (29, 39), (inside, 2)), rng.uniform((31, 0), (59, 39), (outside, 2))
    return np.concatenate([left, right])


@pytest.fixture
def gaze(tmp_path):
    """Folders of gaze on four images: a quarter inside the region before, and more after."""
    for folder in ("original", "edited", "masks"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate("abcd"):
        np.save(tmp_path / "original" / f"{name}.npy", points(3, 9))
        np.save(tmp_path / "edited" / f"{name}.npy", points(6 + number, 6 - number))
        Image.fromarray((255 * LEFT).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


@pytest.fixture
def edit_set(tmp_path):
    """Three sources, each with one edit of the left half."""
    writer = Writer(tmp_path / "set", {"licence": "CC0"})
    rng = np.random.default_rng(1)
    for number in range(3):
        image = rng.integers(60, 190, (*SIZE, 3), dtype=np.uint8)
        edited = np.where(LEFT[..., None] > 0, np.clip(2.0 * (image - 125.0) + 125, 0, 255), image).astype(np.uint8)
        writer.add(f"s{number}", image, {"contrast": LEFT}, [NewEdit("contrast", 2.0, 2.0, 1, edited)])
    writer.finish()
    return tmp_path / "set"


def folders(gaze):
    return "--original", gaze / "original", "--edited", gaze / "edited", "--masks", gaze / "masks"


def test_folders_of_gaze(gaze, salbench, capsys):
    figure, out = gaze / "figure.png", gaze / "out"
    assert salbench("study", *folders(gaze), "--out", out, "--figure", figure) == 0
    printed = capsys.readouterr()
    assert (out / "study.md").read_text() == printed.out.removesuffix("\n")
    assert printed.err.splitlines()[-2:] == [f"figure: {figure}", f"study: {out}"]
    with open(out / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["before"]) for row in rows], 3 / 12)
    np.testing.assert_allclose([float(row["after"]) for row in rows], np.arange(6, 10) / 12)
    with Image.open(figure) as drawn:
        assert drawn.width > 600
    (gaze / "edited" / "a.npy").unlink()
    assert salbench("study", *folders(gaze), "--out", out) == 1


def test_an_edit_set(edit_set, salbench, tmp_path, capsys):
    out = tmp_path / "out"
    study = "study", "--edits", edit_set, "--methods", "uniform", "--out", out, "--workers", 1
    assert salbench(*study, "--figure", tmp_path / "f.svg") == 0
    printed = capsys.readouterr().out
    assert (out / "study.md").read_text() == printed.removesuffix("\n")
    assert "| uniform " in printed
    with open(out / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(row["uniform_after"]) for row in rows], 0.5)
    assert (tmp_path / "f.svg").stat().st_size


def test_people_on_an_edit_set(edit_set, salbench, tmp_path, capsys):
    for name, stem in (("a", "{}"), ("b", "{}_contrast_2")):
        (tmp_path / name).mkdir()
        for source in ("s0", "s1", "s2"):
            np.save(tmp_path / name / f"{stem.format(source)}.npy", points(3, 9))
    gaze = "--original", tmp_path / "a", "--edited", tmp_path / "b"
    assert salbench("study", "--edits", edit_set, *gaze, "--out", tmp_path / "out") == 0
    assert "| people " in capsys.readouterr().out


def test_a_plan_and_its_fixations(edit_set, salbench, tmp_path, capsys):
    """Two commands, into one folder."""
    study = "study", "--edits", edit_set, "--out", tmp_path / "out"
    numbers = "--participants", 4, "--per-type", 3, "--strengths", 1, "--seconds", 4, "--blank", 0.5
    assert salbench(*study, "--plan", *numbers) == 0
    printed = capsys.readouterr()
    assert (tmp_path / "out" / "plan.md").read_text() == printed.out.removesuffix("\n")
    assert printed.err == f"plan: {tmp_path / 'out'}\n"
    with open(tmp_path / "out" / "presentations.csv", newline="") as file:
        trials = list(csv.DictReader(file))
    assert {(t["seconds"], t["blank_seconds"]) for t in trials} == {("4", "0.5")}
    assert len(trials) == 4 * 3
    lines = [
        f"{t['participant']},{t['file']},{x:.1f},{y:.1f}" for t in trials for x, y in points(3, len(t["file"]) - 10)
    ]
    (tmp_path / "fixations.csv").write_text("\n".join(["participant,image,x,y", *lines]))
    assert salbench(*study, "--plan", *numbers, "--seed", 1) == 2
    assert "expected a folder without another plan, got one with presentations.csv" in capsys.readouterr().err
    assert salbench(*study, "--plan", *numbers) == 0
    assert salbench(*study, "--fixations", tmp_path / "fixations.csv") == 0
    assert "People: share of fixations inside the region, against the unedited image" in capsys.readouterr().out
    with open(tmp_path / "out" / "trials.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4 * 3


def test_a_method_that_cannot_run_makes_no_complete_study(edit_set, salbench, tmp_path, capsys):
    study = "study", "--edits", edit_set, "--methods", "center_bias", "--out", tmp_path / "out"
    assert salbench(*study) == 1
    assert "center_bias" in capsys.readouterr().out


USAGE = "study needs --original, --edited and --masks; or --edits with --methods"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), USAGE),
        (("--original", "x", "--edited", "y"), USAGE),
        (("--original", "x", "--edited", "y", "--masks", "z", "--methods", "uniform"), USAGE),
        (("--edits", "x", "--masks", "y", "--methods", "uniform"), USAGE),
        (("--edits", "x"), USAGE),
        (("--edits", "x", "--original", "y"), USAGE),
        (("--edits", "x", "--methods", "uniform", "--edited", "y"), USAGE),
        (("--edits", "x", "--methods", "uniform", "--original", "y"), USAGE),
        (("--fixations", "x", "--original", "y", "--edited", "z", "--masks", "m"), USAGE),
        (("--edits", "x", "--fixations", "f", "--original", "y", "--edited", "z"), USAGE),
        (("--plan",), "--plan needs --edits, and no methods"),
        (("--edits", "x", "--plan", "--methods", "uniform"), "--plan needs --edits, and no methods"),
        (("--edits", "x", "--methods", "uniform", "--participants", "8"), "--participants requires --plan"),
        (("--edits", "x", "--methods", "uniform", "--all-versions"), "--all-versions requires --plan"),
        (("--edits", "x", "--plan"), "x: expected the folder of an edit set"),
        (("--edits", "x", "--methods", "uniforn"), "Did you mean 'uniform'"),
        (("--edits", "x", "--methods", "uniform"), "x: expected the folder of an edit set"),
        (("--edits", "x", "--methods", "uniform", "--figure", "f.gif"), "f.gif: expected a name ending in .png"),
        (("--original", "x", "--edited", "y", "--masks", "z"), "x: expected a folder"),
    ],
)
def test_errors_before_anything_is_written(words, message, salbench, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert salbench("study", *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_blank_of_less_than_no_time(salbench, capsys):
    with pytest.raises(SystemExit):
        salbench("study", "--edits", "x", "--plan", "--blank", "-1")
    assert "expected a number of seconds, 0 or above, got '-1'" in capsys.readouterr().err
