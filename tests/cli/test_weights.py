"""`salbench weights`."""

import json

import pytest
import torch

from salbench import registry, weights

CHECKPOINTS = """
    checkpoints = (Checkpoint("best.pth", source="https://example.org/small", licence="MIT", trained_on="SALICON"),)
"""


@pytest.fixture
def root(network, tmp_path, monkeypatch):
    """The weights root of `published`, a method whose weights are not there yet."""
    text = "from salbench.weights import Checkpoint\n" + (network / "small.py").read_text()
    (network / "published.py").write_text(text.replace("\n    recipe", f"{CHECKPOINTS}    recipe"))
    registry.add_folder(network)
    monkeypatch.setenv("SALBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def publish(root):
    (root / "published").mkdir(parents=True)
    torch.save(registry.create("published").build_network().state_dict(), root / "published" / "best.pth")


def test_files_are_listed_found_or_not(root, salbench, tmp_path, capsys):
    def row():
        assert salbench("weights", "--methods", "published", "--json") == 0
        (row,) = json.loads(capsys.readouterr().out)
        return row

    assert row() == {
        "method": "published",
        "file": "best.pth",
        "found": f"not in {root}/published",
        "licence": "MIT",
        "trained on": "SALICON",
        "page": "https://example.org/small",
    }
    publish(root)
    assert row()["found"] == f"{root}/published/best.pth"
    assert salbench("weights", "--methods", "published", "--weights-root", tmp_path / "other") == 0
    assert f"{tmp_path}/other/published" in capsys.readouterr().out


def test_imagenet_weights_are_listed_beside_them(salbench, tmp_path, capsys):
    assert salbench("weights", "--methods", "simplenet,tempsal", "--weights-root", tmp_path, "--json") == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["file"] == "pnasnet5large-bf079911.pth"]
    assert [row["method"] for row in rows] == ["simplenet", "tempsal"]
    assert {row["found"] for row in rows} == {f"not in {tmp_path}/imagenet"}
    assert {row["trained on"] for row in rows} == {"ImageNet, for fit --from imagenet"}


def test_all_by_default(root, salbench, capsys):
    assert salbench("weights", "--json") == 0
    methods = {row["method"] for row in json.loads(capsys.readouterr().out)}
    assert {"published", "unisal", "deepgaze_iie"} <= methods
    assert "uniform" not in methods


def test_convert(root, salbench, tmp_path, capsys):
    convert = "weights", "convert", "--methods", "published"
    assert salbench(*convert) == 1
    assert "skipped published: has no weights; download best.pth" in capsys.readouterr().out
    publish(root)
    method = registry.create("published")
    assert salbench(*convert) == 0
    path = weights.converted("published")
    assert capsys.readouterr().out == f"published: {path}, hash {method.weights_hash()}\n"
    assert path.is_file()


@pytest.mark.parametrize("what", ["list", "convert"])
@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("unisla", "Did you mean 'unisal'"),
        ("uniform", "--methods: expected methods with published weights, got uniform"),
    ],
)
def test_errors(what, methods, message, salbench, capsys):
    assert salbench("weights", what, "--methods", methods) == 2
    assert message in capsys.readouterr().err
