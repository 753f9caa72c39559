"""`salbench table`."""

import pytest


def test_formats(salbench, tmp_path, capsys):
    salbench("--out", tmp_path, "--methods", "uniform,inter_observer", "--limit", 4)
    capsys.readouterr()
    for style, mark in (("md", "|---"), ("latex", r"\begin{tabular}"), ("csv", "method,auc,auc_low,auc_high")):
        assert salbench("table", "--dataset", "popout_first4", "--out", tmp_path, "--format", style) == 0
        assert mark in capsys.readouterr().out


def test_chosen_rows_and_columns(salbench, tmp_path, capsys):
    salbench("--out", tmp_path, "--methods", "uniform,center_bias", "--limit", 3)
    capsys.readouterr()
    chosen = "--methods", "uniform, center_bias", "--metrics", "nss,auc"
    assert salbench("table", "--dataset", "popout_first3", "--out", tmp_path, "--format", "csv", *chosen) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "method,nss,nss_low,nss_high,auc,auc_low,auc_high"
    assert [row.partition(",")[0] for row in lines[1:]] == ["uniform", "center_bias"]


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_paper(name, salbench, tmp_path, capsys):
    assert salbench("table", "--paper", name, "--out", tmp_path) == 0
    assert "Ours (paper)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "osie", "--out", "/nowhere"], "salbench run --dataset osie"),
        (["--paper", "table3"], "table1, table2"),
        (["--paper", "table2", "--methods", "lite"], "--methods requires --dataset"),
        (["--ablation", "osie", "--metrics", "auc"], "--metrics requires --dataset"),
        (["--dataset", "osie", "--protocol", "mit"], "--protocol requires --ablation"),
        (["--paper", "table2", "--test", "osie_test"], "--test requires --ablation"),
        (
            ["--ablation", "osie", "--protocol", "mit", "--out", "/nowhere"],
            "/nowhere/osie_ablation-mit: expected an arm",
        ),
        (["--ablation", "osie", "--out", "/nowhere"], "salbench ablate"),
    ],
)
def test_errors(words, message, salbench, capsys):
    assert salbench("table", *words) == 2
    assert message in capsys.readouterr().err


def test_one_source_is_required(salbench, capsys):
    with pytest.raises(SystemExit) as stop:
        salbench("table")
    assert stop.value.code == 2
    assert "one of the arguments --dataset --paper --ablation is required" in capsys.readouterr().err
