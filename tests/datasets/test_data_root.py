"""A data root one level too deep or too high is found, or the error says what is there."""

import shutil

import pytest

from salbench.datasets import DATASETS, DatasetProblem, load, source


@pytest.mark.parametrize("inside", ["OSIE", "OSIE/data"])
def test_too_deep(osie_tree, inside, logged):
    assert load("osie_test", osie_tree / inside).fingerprint == load("osie_test", osie_tree).fingerprint
    assert any(f"{osie_tree / inside}: no OSIE/ here, using {osie_tree / 'OSIE'}" in line for line in logged)


def test_too_high(salicon_tree, tmp_path, logged):
    expected = load("salicon_val", salicon_tree).fingerprint
    (tmp_path / "disk").mkdir()
    (tmp_path / "SALICON").rename(tmp_path / "disk" / "SALICON")
    assert load("salicon_val", tmp_path).fingerprint == expected
    assert any(f"using {tmp_path / 'disk' / 'SALICON'}" in line for line in logged)


def test_a_folder_by_another_name_as_the_root(eyecrowd_tree):
    (eyecrowd_tree / "EyeCrowd").rename(eyecrowd_tree / "crowds")
    assert len(load("eyecrowd", eyecrowd_tree / "crowds").samples) == 10


def test_in_two_places(salicon_tree, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(tmp_path / "SALICON", tmp_path / name / "SALICON")
    shutil.rmtree(tmp_path / "SALICON")
    with pytest.raises(DatasetProblem, match=r"found it in .*/a/SALICON, .*/b/SALICON; choose one as --data-root"):
        load("salicon_val", tmp_path)


def test_what_is_there_instead(tmp_path):
    for name in "abcdefg":
        (tmp_path / name).mkdir()
    with pytest.raises(
        DatasetProblem, match=r"expected the folder SALICON, found a, b, c, d, e and 2 more\. Looked also at"
    ):
        load("salicon_val", tmp_path)


@pytest.mark.parametrize(("root", "found"), [("none", "no such folder"), ("file", "a file")])
def test_no_folder(tmp_path, root, found):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetProblem, match=f"expected the folder OSIE or .*, found {found}"):
        load("osie", tmp_path / root)


def test_no_data_set_is_taken_for_another(osie_tree, eyecrowd_tree, scene_tree, salicon_tree):
    """All four are in one data root."""
    modules = {row.module: name for name, row in DATASETS.items()}
    sources = {name: source(name) for name in modules.values() if source(name)}
    for folder in ("OSIE", "EyeCrowd", "Scene", "SALICON"):
        found = [known.folders[0] for known in sources.values() if known.is_in(osie_tree / folder)]
        assert found == [folder]
