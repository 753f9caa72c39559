"""A part of a data set is used only if asked for, and says so."""

import numpy as np
import pytest
from builders import write_image

from salbench import cli, tables
from salbench.datasets import DatasetProblem, allow_partial, load, training_split
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime


def without(root, *paths):
    for path in paths:
        (root / path).unlink()
    return root


@pytest.fixture
def part_of_osie(osie_tree):
    """11 of 14 photographs; of the test split, 3 of 4."""
    return without(osie_tree, *(f"OSIE/data/stimuli/{stem}.jpg" for stem in ("1001", "1003", "1004")))


def test_without_being_asked_for(part_of_osie):
    with pytest.raises(
        DatasetProblem,
        match=r"expected 14 files, 3 are missing, such as 1001\.jpg, .* Found 11\. .*--partial\. OSIE: clone",
    ):
        load("osie_test", part_of_osie)


def test_the_rest_of_a_split(part_of_osie):
    whole = {sample.id: sample for sample in _whole_osie(part_of_osie)}
    with allow_partial():
        dataset = load("osie_test", part_of_osie)
        train = training_split(dataset, part_of_osie)
    assert (dataset.name, dataset.whole) == ("osie_test_partial3", 4)
    assert [sample.id for sample in dataset.samples] == ["1002", "1008", "1009"]
    assert (train.name, train.whole) == ("osie_train_partial8", 10)
    for sample in dataset.samples:
        np.testing.assert_array_equal(sample.fixations, whole[sample.id].fixations)
    assert dataset.first(2).name == "osie_test_partial3_first2"


def _whole_osie(root):
    for stem in ("1001", "1003", "1004"):
        write_image(root / f"OSIE/data/stimuli/{stem}.jpg", (600, 800))
    samples = load("osie", root).samples
    without(root, *(f"OSIE/data/stimuli/{stem}.jpg" for stem in ("1001", "1003", "1004")))
    return samples


def test_a_whole_copy_is_no_part(osie_tree):
    with allow_partial():
        dataset = load("osie_test", osie_tree)
    assert (dataset.name, dataset.whole) == ("osie_test", None)
    assert dataset.fingerprint == load("osie_test", osie_tree).fingerprint


def test_nothing_there_is_no_part(osie_tree):
    for path in (osie_tree / "OSIE" / "data" / "stimuli").iterdir():
        path.unlink()
    with allow_partial(), pytest.raises(DatasetProblem, match="expected 14 files, found none"):
        load("osie_test", osie_tree)


@pytest.mark.parametrize("part", ["images", "fixations", "maps"])
def test_salicon_needs_all_files_of_an_image(salicon_tree, part):
    suffix = {"images": ".jpg", "fixations": ".mat", "maps": ".png"}[part]
    without(salicon_tree, f"SALICON/{part}/val/COCO_val2014_000000000009{suffix}")
    with pytest.raises(DatasetProblem, match=r"expected 2 .*1.* add --partial"):
        load("salicon_val", salicon_tree)
    with allow_partial():
        dataset = load("salicon_val", salicon_tree)
    assert (dataset.name, dataset.whole) == ("salicon_val_partial1", 2)
    assert [sample.id for sample in dataset.samples] == ["COCO_val2014_000000000036"]
    assert len(dataset.samples[0].fixations) == 3
    assert dataset.samples[0].read_density().max() == 36


def test_more_images_than_published_are_no_part(salicon_tree):
    write_image(salicon_tree / "SALICON/images/test/COCO_test2014_000000000077.jpg", (480, 640))
    with allow_partial(), pytest.raises(DatasetProblem, match=r"expected 2 images .* found 3\. SALICON"):
        load("salicon_test", salicon_tree)


@pytest.mark.parametrize(
    ("tree", "name", "image", "label"),
    [
        ("eyecrowd_tree", "eyecrowd_test", "EyeCrowd/data/stimuli/004.jpg", "eyecrowd_test_partial1"),
        ("scene_tree", "nus_scene", "Scene/data/stimuli/002.jpg", "nus_scene_partial3"),
    ],
)
def test_other_data_sets(request, tree, name, image, label):
    root = without(request.getfixturevalue(tree), image)
    with allow_partial():
        assert load(name, root).name == label


def test_result_and_table_say_of_how_many(part_of_osie, tmp_path):
    with allow_partial():
        dataset = load("osie_test", part_of_osie)
    result = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path / "out", Runtime(progress=False)).run("uniform")
    assert (result.dataset, result.n_images, result.n_whole) == ("osie_test_partial3", 3, 4)
    assert "osie_test_partial3, 3 of 4 images, eye tracker" in tables.dataset_table(tmp_path / "out", dataset.name)


def test_the_option(part_of_osie, tmp_path, capsys):
    words = ["run", "--dataset", "osie_test", "--methods", "uniform", "--data-root", str(part_of_osie)]
    words += ["--out", str(tmp_path / "out")]
    assert cli.main(words) == 2
    assert "Found 11. To use only these, add --partial" in capsys.readouterr().err
    assert cli.main([*words, "--partial"]) == 0
    assert "3 of 4 images" in capsys.readouterr().out
    with pytest.raises(DatasetProblem, match="3 are missing"):  # the option ends with its command
        load("osie_test", part_of_osie)
