"""`salbench report`."""

import pytest


def test_a_site_of_results(salbench, tmp_path, capsys):
    salbench("--out", tmp_path / "results", "--methods", "uniform", "--limit", 2)
    site = tmp_path / "site"
    assert salbench("report", "--results", tmp_path / "results", "--out", site, "--pictures", "none") == 0
    printed = capsys.readouterr()
    assert f"site: {site / 'index.html'}" in printed.out
    assert "left out: Pictures of popout_first2: --pictures none was given." in printed.err
    assert "popout_first2" in (site / "index.html").read_text()
    assert "salbench run --methods uniform --dataset popout --limit 2" in (site / "provenance.html").read_text()


def test_a_folder_of_ones_own_is_opened_where_it_is(salbench, images, tmp_path, capsys):
    salbench("--out", tmp_path / "results", "--methods", "uniform", "--dataset", f"folder:{images}")
    report = "report", "--results", tmp_path / "results", "--out", tmp_path / "site"
    assert salbench(*report) == 0
    assert "Say where the images are: --datasets folder:mine=DIR" in capsys.readouterr().err
    assert salbench(*report, "--datasets", f"folder:{images}") == 0
    assert "does not allow to pass them on" in capsys.readouterr().err
    assert salbench(*report, "--datasets", f"folder:{images}", "--pictures", "all") == 0
    assert len(list((tmp_path / "site").rglob("*.webp"))) == 9  # photograph, thumbnail and density of three images


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--results", "/nowhere"], "/nowhere: expected a folder of results, found none. Make some: salbench run"),
        (["--results", "."], "expected results of runs, found none"),
    ],
)
def test_errors(words, message, salbench, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert salbench("report", *words) == 2
    assert message in capsys.readouterr().err
