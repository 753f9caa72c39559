"""`salbench figure`."""

from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[2] / "results"
NAMED = {".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG", ".jpg": b"\xff\xd8"}


@pytest.mark.parametrize(
    "words",
    [
        ["ranking", "--datasets", "osie_test", "--metrics", "nss"],
        ["scatter", "--datasets", "osie_test", "--metrics", "auc,nss", "--methods", "lite,bms"],
        ["scatter", "--datasets", "osie_test,nus_scene_test", "--methods", "lite,bms"],
        ["matrix", "--datasets", "osie_test,nus_scene_test", "--methods", "lite,bms"],
        ["ablation", "--datasets", "osie", "--metrics", "auc"],
    ],
    ids=" ".join,
)
def test_from_result_files(words, salbench, tmp_path, capsys):
    path = tmp_path / "figure.svg"
    assert salbench("figure", *words, "--results", RESULTS, "--out", path) == 0
    assert path.read_bytes().startswith(b"<?xml")
    assert capsys.readouterr().out == f"figure: {path}\n"


@pytest.mark.parametrize("ending", NAMED)
def test_the_format(ending, salbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ranking = "figure", "ranking", "--datasets", "osie_test", "--methods", "lite", "--results", RESULTS
    assert salbench(*ranking, "--format", ending[1:]) == 0
    assert (tmp_path / f"ranking{ending}").read_bytes().startswith(NAMED[ending])


def test_examples(salbench, tmp_path):
    path = tmp_path / "examples.pdf"
    images = "--images", "popout:color_01,popout:orientation_04"
    assert salbench("figure", "examples", *images, "--methods", "uniform,center_bias", "--out", path) == 0
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ranking"], "figure ranking: expected one of --datasets, got nothing"),
        (["ranking", "--datasets", "a,b"], "expected one of --datasets, got a, b"),
        (["ranking", "--datasets", "osie_test", "--metrics", "ack"], "unknown metric 'ack'. Did you mean 'auc'"),
        (["ranking", "--datasets", "osie_test", "--metrics", "auc,nss"], "expected one of --metrics, got auc, nss"),
        (["ranking", "--datasets", "osie_test", "--images", "popout:x"], "--images requires figure examples"),
        (["ranking", "--datasets", "nowhere"], "salbench run --dataset nowhere"),
        (["scatter", "--datasets", "osie_test"], "two metrics, or two data sets and one metric, got 1 and 1"),
        (["matrix"], "expected one or more of --datasets, got nothing"),
        (["matrix", "--datasets", "osie_test", "--test", "x"], "--test requires figure ablation"),
        (["examples", "--methods", "uniform"], "expected --images DATASET:ID,... and --methods NAMES, got no --images"),
        (["examples", "--images", "popout:x"], "got no --methods"),
        (["examples", "--images", "popout:x", "--datasets", "popout"], "--datasets requires figure ranking or scatter"),
        (["ablation", "--datasets", "osie_test"], "salbench ablate"),
        (["ranking", "--datasets", "osie_test", "--out", "x.gif"], "expected a name ending in .png"),
        (["ranking", "--datasets", "osie_test", "--out", "x.png", "--format", "pdf"], "expected a name ending in .pdf"),
    ],
)
def test_errors(words, message, salbench, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [] if words[0] == "examples" else ["--results", RESULTS]
    assert salbench("figure", *words, *results) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
