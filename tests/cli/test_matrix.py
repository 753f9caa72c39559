"""`salbench matrix`."""

import pytest


@pytest.fixture
def two(write_data_set, tmp_path):
    """Two folder data sets as --datasets takes them."""
    return ",".join(
        f"folder:{write_data_set(tmp_path / name, 'abc', seed)}" for seed, name in enumerate(("one", "two"))
    )


def test_it_scores_what_is_missing_and_prints_one_table(salbench, two, tmp_path, capsys):
    run = "matrix", "--methods", "uniform,spectral_residual,inter_observer", "--datasets", two, "--out", tmp_path / "r"
    assert salbench(*run) == 0
    printed = capsys.readouterr().out
    assert "folder+one ↑" in printed
    assert "folder+two ↑" in printed
    assert "| uniform " in printed
    assert "Explained information" in printed
    made = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*.json")}
    assert len(made) == 6
    assert salbench(*run) == 0
    assert capsys.readouterr().out == printed
    assert {path: path.read_bytes() for path in made} == made


def test_without_methods_it_reads_files(salbench, two, tmp_path, capsys):
    for dataset in two.split(","):
        assert salbench("run", "--methods", "uniform", "--dataset", dataset, "--out", tmp_path / "r") == 0
    capsys.readouterr()
    assert salbench("matrix", "--datasets", two, "--metric", "nss", "--format", "csv", "--out", tmp_path / "r") == 0
    assert capsys.readouterr().out.startswith("method,folder+one,folder+one_low,folder+one_high,folder+two,")


def test_what_did_not_run_is_said_and_the_others_are_shown(salbench, two, tmp_path, capsys):
    run = "matrix", "--methods", "uniform,from_folder", "--datasets", two, "--out", tmp_path / "r"
    assert salbench(*run) == 1
    printed = capsys.readouterr()
    assert "skipped from_folder on folder+one: needs a folder, zip or HDF5 file of maps" in printed.err
    assert "| uniform " in printed.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--datasets", ","), "--datasets: expected names separated by commas, got nothing"),
        (("--datasets", "popout", "--metric", "auk"), "--metric: expected one of auc"),
        (("--datasets", "popout,osie_tets", "--methods", "uniform"), "Did you mean 'osie_test'"),
        (("--datasets", "popout", "--methods", "uniforn"), "Did you mean 'uniform'"),
        (("--datasets", "popout"), "salbench run --dataset popout"),
    ],
)
def test_errors(words, message, salbench, tmp_path, capsys):
    assert salbench("matrix", *words, "--out", tmp_path) == 2
    assert message in capsys.readouterr().err
