import numpy as np
import pytest
import scipy.io
from builders import write_nus_vip_fixations

from salbench.datasets import DATASETS, DatasetProblem, load, osie


@pytest.fixture
def mat(osie_tree):
    return osie_tree / "OSIE" / "data" / "eye" / "fixations.mat"


def test_splits_partition_the_set_by_number(osie_tree):
    test = [s.id for s in load("osie_test", osie_tree).samples]
    train = [s.id for s in load("osie_train", osie_tree).samples]
    assert test == ["1001", "1002", "1008", "1009"]
    assert sorted(test + train) == [s.id for s in load("osie", osie_tree).samples] == [str(1001 + i) for i in range(14)]


def test_names_and_training_split(osie_tree):
    assert [load(name, osie_tree).name for name in ("osie", "osie_train", "osie_test")] == [
        "osie",
        "osie_train",
        "osie_test",
    ]
    assert load("osie_test", osie_tree).train == "osie_train"


def test_sample(osie_tree):
    sample = load("osie", osie_tree).samples[0]
    assert sample.size == (600, 800)
    assert sample.sigma == 24.0
    assert sample.image.shape == (600, 800, 3)
    assert sample.read_density is None
    np.testing.assert_array_equal(sample.observers, [0, 0, 0, 1, 1])


def test_half_a_pixel_is_subtracted_at_the_borders(osie_tree, mat, monkeypatch):
    stored = np.array([[0.5, 0.5], [1.0, 1.4], [1.5, 600.4], [800.4, 600.4]])
    images = {str(1001 + i): [stored] for i in range(14)}
    write_nus_vip_fixations(mat, images)
    monkeypatch.setattr(osie, "EXPECTED", osie.Published(14, 56, tuple(stored.mean(0))))
    fixations = load("osie", osie_tree).samples[3].fixations
    np.testing.assert_allclose(fixations, stored - 0.5)
    np.testing.assert_array_equal(np.floor(fixations), [[0, 0], [0, 0], [1, 599], [799, 599]])


@pytest.mark.parametrize("x", [0.4, 800.5, np.nan])
def test_fixation_off_the_screen(osie_tree, mat, x):
    write_nus_vip_fixations(mat, {"1001": [[[9.0, 9.0]], [[5.0, 5.0], [x, 3.0]]]})
    with pytest.raises(DatasetProblem, match=r"fixations\.mat, image 1001\.jpg: 1 of 3 .* number 3, .*OSIE: clone"):
        load("osie", osie_tree)


def test_half_unpacked_images(osie_tree):
    for stem in ("1002", "1005"):
        (osie_tree / "OSIE" / "data" / "stimuli" / f"{stem}.jpg").unlink()
    with pytest.raises(DatasetProblem, match=r"stimuli: expected 14 files, 2 are .* 1002.jpg, 1005.jpg\. .*popout"):
        load("osie_test", osie_tree)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetProblem, match=r"expected the folder OSIE or .*predicting-human-gaze.*--dataset popout"):
        load("osie", tmp_path)


def test_no_fixations_file(osie_tree, mat):
    mat.unlink()
    with pytest.raises(DatasetProblem, match=r"fixations\.mat: no such file"):
        load("osie", osie_tree)


def test_other_numbers_than_published(osie_tree, monkeypatch):
    monkeypatch.setattr(osie, "EXPECTED", osie.Published(14, 71, (401.466, 283.5829)))
    with pytest.raises(DatasetProblem, match=r"published 71 fixations with mean x 401\.4660 and y 283\.5829, got 70"):
        load("osie", osie_tree)


def test_other_mean_than_published(osie_tree, monkeypatch):
    x, y = osie.EXPECTED.mean
    monkeypatch.setattr(osie, "EXPECTED", osie.Published(14, 70, (y, x)))
    with pytest.raises(DatasetProblem, match="not the published file"):
        load("osie", osie_tree)


def test_fixations_of_another_image(osie_tree, mat, monkeypatch):
    images = {str(1002 + i): [[[9.0, 9.0]]] for i in range(14)}
    write_nus_vip_fixations(mat, images)
    monkeypatch.setattr(osie, "EXPECTED", osie.Published(14, 14, (9.0, 9.0)))
    with pytest.raises(DatasetProblem, match=r"an image and its fixations, .* for 1001"):
        load("osie", osie_tree)


@pytest.mark.parametrize("keep", [0, 1, 100, 127, 128, 200, 0.5, 0.9])
def test_truncated_mat(osie_tree, mat, keep):
    content = mat.read_bytes()
    mat.write_bytes(content[: keep if keep >= 1 or keep == 0 else int(len(content) * keep)])
    with pytest.raises(DatasetProblem, match=r"fixations\.mat: "):
        load("osie", osie_tree)


def test_other_structure(osie_tree, mat):
    scipy.io.savemat(mat, {"fixations": np.ones((3, 2))})
    with pytest.raises(DatasetProblem, match=r"expected fixations, a cell of \{img, subjects"):
        load("osie", osie_tree)
    scipy.io.savemat(mat, {"other": 1, "more": 2})
    with pytest.raises(DatasetProblem, match="expected the variable 'fixations', found"):
        load("osie", osie_tree)


def test_broken_image_is_told_when_it_is_read(osie_tree):
    (osie_tree / "OSIE" / "data" / "stimuli" / "1001.jpg").write_bytes(b"")
    dataset = load("osie", osie_tree)
    with pytest.raises(ValueError, match=r"1001\.jpg: not a readable picture"):
        _ = dataset.samples[0].image


def test_real_counts_and_means(real):
    samples = real("osie", "OSIE").samples
    stored = np.concatenate([s.fixations for s in samples]) + 0.5
    assert len(samples) == DATASETS["osie"].images == 700
    assert len(stored) == 98_321
    np.testing.assert_allclose(stored.mean(0), [401.4660, 283.5829], atol=5e-5)
    assert len(samples[0].fixations) == 141
    assert {int(o) for s in samples for o in s.observers} == set(range(15))


def test_real_pixel_is_the_index_that_the_authors_round_to(real):
    fixations = np.concatenate([s.fixations for s in real("osie", "OSIE").samples])
    stored = fixations + 0.5
    matlab_round = np.floor(stored + 0.5)
    np.testing.assert_array_equal(np.floor(fixations), matlab_round - 1)
    np.testing.assert_allclose([stored.min(0), stored.max(0)], [[1.2, 1.2], [799.2, 599.2]])


def test_real_splits_and_images(real):
    test = real("osie_test", "OSIE")
    assert len(test.samples) == DATASETS["osie_test"].images == 200
    assert len(real("osie_train", "OSIE").samples) == DATASETS["osie_train"].images == 500
    assert test.samples[-1].image.shape == (600, 800, 3)
