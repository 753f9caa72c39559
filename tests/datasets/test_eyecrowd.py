import numpy as np
import pytest
from builders import write_nus_vip_fixations

from salbench import registry
from salbench.datasets import DATASETS, DatasetProblem, eyecrowd, load
from salbench.runtime import Runtime
from salbench.training_plan import Plan


@pytest.fixture
def mat(eyecrowd_tree):
    return eyecrowd_tree / "EyeCrowd" / "data" / "eye" / "fixations.mat"


def ids(samples):
    return [sample.id for sample in samples]


def test_splits_partition_the_set_by_number(eyecrowd_tree):
    whole, train, test = (load(name, eyecrowd_tree) for name in ("eyecrowd", "eyecrowd_train", "eyecrowd_test"))
    assert (whole.name, train.name, test.name) == ("eyecrowd", "eyecrowd_train", "eyecrowd_test")
    assert (whole.train, train.train, test.train) == (None, None, "eyecrowd_train")
    assert ids(test.samples) == ["004", "009"]
    assert sorted(ids(train.samples) + ids(test.samples)) == ids(whole.samples) == [f"{n:03d}" for n in range(1, 11)]


def test_sample(eyecrowd_tree):
    sample = load("eyecrowd", eyecrowd_tree).samples[0]
    assert sample.size == (768, 1024)
    assert sample.sigma == 26.0
    assert sample.image.shape == (768, 1024, 3)
    assert sample.read_density is None
    np.testing.assert_array_equal(sample.observers, [0, 0, 0, 2, 2])


def test_half_a_pixel_is_subtracted_at_the_borders(eyecrowd_tree, mat, monkeypatch):
    stored = np.array([[1.0, 1.4], [1.5, 767.5], [1024.0, 768.0]])  # the largest real ones are 1024 and 768
    write_nus_vip_fixations(mat, {f"{n:03d}": [stored] for n in range(1, 11)})
    monkeypatch.setattr(eyecrowd, "EXPECTED", eyecrowd.Published(10, 30, tuple(stored.mean(0))))
    fixations = load("eyecrowd", eyecrowd_tree).samples[3].fixations
    np.testing.assert_allclose(fixations, stored - 0.5)
    np.testing.assert_array_equal(np.floor(fixations), [[0, 0], [1, 767], [1023, 767]])


@pytest.mark.parametrize(("x", "y"), [(0.4, 9.0), (1024.5, 9.0), (9.0, 768.5), (np.nan, 9.0)])
def test_fixation_off_the_screen(eyecrowd_tree, mat, x, y):
    write_nus_vip_fixations(mat, {"001": [[[9.0, 9.0]], [[5.0, 5.0], [x, y]]]})
    with pytest.raises(
        DatasetProblem, match=r"fixations\.mat, image 001\.jpg: 1 of 3 .* number 3, .*saliency-in-crowd"
    ):
        load("eyecrowd", eyecrowd_tree)


@pytest.mark.parametrize(
    "folder", ["saliency-in-crowd", "saliency-in-crowd-master", "EyeCrowd/saliency-in-crowd-master"]
)
def test_folder_of_a_clone_or_of_the_zip_file(eyecrowd_tree, folder):
    data = eyecrowd_tree / "EyeCrowd" / "data"
    expected = load("eyecrowd", eyecrowd_tree).fingerprint
    (eyecrowd_tree / folder).mkdir()
    data.rename(eyecrowd_tree / folder / "data")
    dataset = load("eyecrowd", eyecrowd_tree)
    assert dataset.fingerprint == expected
    assert dataset.samples[0].image.shape == (768, 1024, 3)


def test_nothing_there(tmp_path):
    with pytest.raises(
        DatasetProblem,
        match=r"expected the folder EyeCrowd or .*, found an empty folder.*"
        r"NUS-VIP/saliency-in-crowd \(MIT licence\) from GitHub.*--dataset popout",
    ):
        load("eyecrowd_test", tmp_path)


def test_half_unpacked_images(eyecrowd_tree):
    (eyecrowd_tree / "EyeCrowd" / "data" / "stimuli" / "007.jpg").unlink()
    with pytest.raises(DatasetProblem, match=r"stimuli: expected 10 files, 1 are missing, such as 007\.jpg\. .*popout"):
        load("eyecrowd_test", eyecrowd_tree)


def test_no_fixations_file(eyecrowd_tree, mat):
    mat.unlink()
    with pytest.raises(DatasetProblem, match=r"fixations\.mat: no such file.*saliency-in-crowd.*popout"):
        load("eyecrowd", eyecrowd_tree)


def test_other_numbers_than_published(eyecrowd_tree, monkeypatch):
    monkeypatch.setattr(eyecrowd, "EXPECTED", eyecrowd.Published(10, 126_348, (519.6397, 335.6468)))
    with pytest.raises(DatasetProblem, match=r"126348 fixations with mean x 519\.6397 and y 335\.6468, got 50 "):
        load("eyecrowd", eyecrowd_tree)


def test_a_training_knows_the_images_of_its_split_and_no_others(eyecrowd_tree, scene_tree, tmp_path):
    """Those of nus_scene have the same ids."""
    recipe = {"steps": 1, "batch_size": 2, "size": (48, 64), "validation_share": 0.5}
    method = registry.create("lite", Runtime(progress=False))
    train = load("eyecrowd_train", eyecrowd_tree).samples
    method.fit(train, Plan(folder=tmp_path / "run", dataset="eyecrowd_train", recipe=recipe))
    fresh = registry.create(f"lite:{tmp_path / 'run'}", Runtime(progress=False))
    assert ids(fresh.seen(load("eyecrowd", eyecrowd_tree).samples)) == ids(train)
    assert fresh.seen(load("eyecrowd_test", eyecrowd_tree).samples) == []
    assert {"001", "002"} <= set(ids(train)) & set(ids(load("nus_scene", scene_tree).samples))
    assert fresh.seen(load("nus_scene", scene_tree).samples) == []


def test_real_counts_and_means(real):
    samples = real("eyecrowd", "EyeCrowd").samples
    stored = np.concatenate([s.fixations for s in samples]) + 0.5
    assert len(samples) == 500
    assert len(stored) == 126_348
    np.testing.assert_allclose(stored.mean(0), [519.640, 335.647], atol=5e-4)
    np.testing.assert_allclose([stored.min(0), stored.max(0)], [[1, 1.9], [1024, 768]])
    assert len(samples[0].fixations) == 261
    assert {int(o) for s in samples for o in s.observers} == set(range(16))
    assert sum(len(set(s.observers.tolist())) for s in samples) == 500 * 16 - 3  # three lists are empty


def test_real_pixel_is_the_index_that_the_authors_round_to(real):
    fixations = np.concatenate([s.fixations for s in real("eyecrowd", "EyeCrowd").samples])
    matlab_round = np.floor(fixations + 0.5 + 0.5)
    np.testing.assert_array_equal(np.floor(fixations), matlab_round - 1)
    assert fixations.min() >= 0
    assert (np.floor(fixations).max(0) == (1023, 767)).all()


def test_real_splits_and_images(real):
    test = real("eyecrowd_test", "EyeCrowd")
    assert len(test.samples) == DATASETS["eyecrowd_test"].images
    assert ids(test.samples) == [f"{n:03d}" for n in range(4, 501, 5)]
    assert len(real("eyecrowd_train", "EyeCrowd").samples) == 400
    assert test.samples[-1].image.shape == (768, 1024, 3)
