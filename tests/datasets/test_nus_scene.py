import numpy as np
import pytest
import scipy.io
from builders import SCENE_SIZES, scene_cells, write_scene_fixations

from salbench.datasets import DATASETS, DatasetProblem, load, nus_scene


@pytest.fixture
def tidy(scene_tree):
    return scene_tree / "Scene" / "data" / "tidy"


def test_samples(scene_tree):
    dataset = load("nus_scene", scene_tree)
    assert dataset.name == "nus_scene"
    assert [s.id for s in dataset.samples] == ["001", "002", "003", "004"]
    assert [s.size for s in dataset.samples] == SCENE_SIZES
    assert [s.sigma for s in dataset.samples] == pytest.approx([0.9, 7.68, 1.8, 1.2])
    assert [s.image.shape[:2] for s in dataset.samples] == SCENE_SIZES


def test_splits_partition_the_set_by_number(scene_tree):
    train, test = load("nus_scene_train", scene_tree), load("nus_scene_test", scene_tree)
    assert (train.name, test.name, train.train, test.train) == (
        "nus_scene_train",
        "nus_scene_test",
        None,
        "nus_scene_train",
    )
    assert [s.id for s in train.samples] == ["001", "002", "003"]
    assert [s.id for s in test.samples] == ["004"]
    whole = load("nus_scene", scene_tree).samples
    np.testing.assert_array_equal(test.samples[0].fixations, whole[3].fixations)


def test_columns_are_y_x_from_zero(scene_tree):
    sample = load("nus_scene", scene_tree).samples[0]
    cells = scene_cells()[0]
    np.testing.assert_array_equal(sample.fixations[:2], cells[0][:, [1, 0]])
    np.testing.assert_array_equal(sample.fixations[2:4], cells[2][:, [1, 0]])
    np.testing.assert_array_equal(sample.observers, np.repeat([0, *range(2, 12)], 2))


def test_fixation_off_its_image(scene_tree, tidy):
    cells = scene_cells()
    cells[2][11][1, 1] = 45.0  # x of the last fixation; the image is 45 wide
    write_scene_fixations(tidy / "fixations.mat", cells)
    with pytest.raises(DatasetProblem, match=r"image 003: 1 of 24 .* 45 x 60 pixels; the first, number 24, is at x=45"):
        load("nus_scene", scene_tree)


def test_half_unpacked(scene_tree, tidy):
    (tidy / "imgInfo.mat").unlink()
    with pytest.raises(DatasetProblem, match=r"tidy: expected 2 files, 1 are missing, such as imgInfo\.mat"):
        load("nus_scene", scene_tree)
    (scene_tree / "Scene" / "data" / "stimuli" / "002.jpg").unlink()
    with pytest.raises(DatasetProblem, match=r"stimuli: expected 4 files, 1 are .* 002\.jpg\. .*Yanakz/Scene"):
        load("nus_scene", scene_tree)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetProblem, match=r"expected the folder Scene or .*, found an empty.*--dataset popout"):
        load("nus_scene", tmp_path)


def test_other_numbers_than_published(scene_tree, monkeypatch):
    monkeypatch.setattr(nus_scene, "EXPECTED", nus_scene.Published(4, 70, nus_scene.EXPECTED.mean[::-1]))
    with pytest.raises(DatasetProblem, match=r"expected the published 70 fixations .* not the published file"):
        load("nus_scene", scene_tree)


@pytest.mark.parametrize("name", ["fixations.mat", "imgInfo.mat"])
@pytest.mark.parametrize("keep", [0, 60, 200])
def test_truncated_mat(scene_tree, tidy, name, keep):
    (tidy / name).write_bytes((tidy / name).read_bytes()[:keep])
    with pytest.raises(DatasetProblem, match=name):
        load("nus_scene", scene_tree)


def test_other_structure(scene_tree, tidy):
    write_scene_fixations(tidy / "fixations.mat", [row[:11] for row in scene_cells()])
    with pytest.raises(DatasetProblem, match=r"a cell of shape \(4, 12\), got \(4, 11\)"):
        load("nus_scene", scene_tree)
    write_scene_fixations(tidy / "fixations.mat", [[np.ones((2, 3))] * 12] * 4)
    with pytest.raises(DatasetProblem, match="expected cells of K x 4 numbers"):
        load("nus_scene", scene_tree)
    scipy.io.savemat(tidy / "imgInfo.mat", {"imgInfo": {"size": np.ones((2, 2))}})
    with pytest.raises(DatasetProblem, match=r"imgInfo\.size of shape \(4, 2\), got \(2, 2\)"):
        load("nus_scene", scene_tree)
    scipy.io.savemat(tidy / "imgInfo.mat", {"imgInfo": {"names": 1}})
    with pytest.raises(DatasetProblem, match=r"expected imgInfo\.size, an array"):
        load("nus_scene", scene_tree)


def test_real_counts(real):
    samples = real("nus_scene", "Scene").samples
    fixations = np.concatenate([s.fixations for s in samples])
    assert len(samples) == 500
    assert len(fixations) == 43_894
    np.testing.assert_allclose(fixations.mean(0), [273.4820, 230.0826], atol=5e-5)
    assert {int(o) for s in samples for o in s.observers} == set(range(12))
    assert all(len(s.fixations) for s in samples)


def test_real_positions_count_from_zero(real):
    """Whole multiples of a tenth of a screen pixel: a shift by 1 or 0.5 image pixels would leave the grid."""
    samples = [s for s in real("nus_scene", "Scene").samples if s.size == (256, 256)]
    steps = np.concatenate([s.fixations for s in samples]) / (256 / 10_800)
    assert np.abs(steps - np.round(steps)).max() < 1e-4
    for shift in (0.5, 1.0):
        shifted = steps - shift / (256 / 10_800)
        assert np.abs(shifted - np.round(shifted)).mean() > 0.05


def test_real_splits(real):
    test, train = real("nus_scene_test", "Scene"), real("nus_scene_train", "Scene")
    assert [s.id for s in test.samples] == [f"{n:03d}" for n in range(4, 501, 5)]
    assert len(train.samples) == DATASETS["nus_scene_train"].images == 400
    assert sorted(s.id for s in [*test.samples, *train.samples]) == [s.id for s in real("nus_scene", "Scene").samples]
    assert sum(s.size == (256, 256) for s in test.samples) == 62
    assert sum(s.size == (256, 256) for s in train.samples) == 249


def test_real_sizes_are_the_images(real):
    samples = real("nus_scene", "Scene").samples
    assert samples[2].image.shape == (1200, 1600, 3)
    assert samples[-1].image.shape == (213, 320, 3)
