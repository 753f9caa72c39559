"""Features on disk are those that were extracted, and what happens to the files never changes a training."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from salbench.training import Recipe, feature_cache
from salbench.training.feature_cache import FeatureCache, features_key, shows_images_again
from salbench.training_plan import Plan

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (4, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Network:
    """Two layers of features, and the number of images in each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, images):
        self.calls.append(len(images))
        x = images.permute(0, 3, 1, 2).float() / 3
        return [x, x[:, :1, ::2, ::2].sqrt()]


@pytest.fixture
def network():
    return Network()


def rounded(images):
    return [layer.half().float() for layer in Network()(images)]


def assert_equal(features, others):
    assert all(layer.dtype == torch.float32 for layer in features)
    assert all(torch.equal(a, b) for a, b in zip(features, others, strict=True))


def test_each_image_is_extracted_once_and_alone(images, network, tmp_path):
    cache = FeatureCache(KEY, tmp_path)
    assert_equal(cache.get(images[:3], network), rounded(images[:3]))
    assert_equal(cache.get(images[1:], network), rounded(images[1:]))
    assert network.calls == [1, 1, 1, 1]


def test_they_outlive_the_process(images, network, tmp_path):
    FeatureCache(KEY, tmp_path).get(images, network)
    assert_equal(FeatureCache(KEY, tmp_path).get(images.flip(0), None), rounded(images.flip(0)))


def test_another_key_has_files_of_its_own(images, network, tmp_path):
    for key in ("a", "b", "a"):
        FeatureCache(key, tmp_path).get(images[:1], network)
    assert network.calls == [1, 1]


def test_pictures_of_the_same_bytes_and_another_shape_are_told_apart(network, tmp_path):
    cache, grey = FeatureCache(KEY, tmp_path), torch.full((1, 6, 8, 3), 9, dtype=torch.uint8)
    assert cache.get(grey, network)[0].shape == (1, 3, 6, 8)
    assert cache.get(grey.transpose(1, 2), network)[0].shape == (1, 3, 8, 6)


def test_a_flipped_picture_is_a_picture_of_its_own(images, network, tmp_path):
    cache = FeatureCache(KEY, tmp_path)
    cache.get(images[:1], network)
    assert_equal(cache.get(images[:1].flip(2), network), rounded(images[:1].flip(2)))
    assert network.calls == [1, 1]


def test_the_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(feature_cache, "user_cache", lambda: tmp_path)
    assert FeatureCache(KEY).folder == tmp_path / "features" / KEY


def test_without_keeping_the_features_are_the_same_and_the_disk_is_left_alone(images, network, tmp_path):
    cache = FeatureCache(KEY, tmp_path, keep=False)
    for _ in range(2):
        assert_equal(cache.get(images, network), rounded(images))
    assert network.calls == [1] * 8
    assert not list(tmp_path.iterdir())


def test_neither_gradients_nor_autocast_nor_inference_mode_reach_the_features(images, tmp_path):
    layer = nn.Conv2d(3, 2, 1)

    def extract(images):
        return [layer(images.permute(0, 3, 1, 2).float())]

    with torch.autocast("cpu", torch.bfloat16):
        first = FeatureCache("a", tmp_path).get(images, extract)
    with torch.inference_mode():
        second = FeatureCache("b", tmp_path).get(images, extract)
    third = FeatureCache("b", tmp_path).get(images, extract)
    assert_equal(first, second)
    assert_equal(second, third)
    assert not first[0].requires_grad
    assert not third[0].is_inference()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_damaged_file_is_made_again(images, network, tmp_path, share):
    cache = FeatureCache(KEY, tmp_path)
    cache.get(images[:1], network)
    (file,) = cache.folder.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert_equal(cache.get(images[:1], network), rounded(images[:1]))
    assert file.read_bytes() == content
    assert network.calls == [1, 1]


def test_a_full_disk_is_told_once_and_changes_nothing(images, network, tmp_path, monkeypatch, warned):
    cache = FeatureCache(KEY, tmp_path)
    cache.get(images[:1], network)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=feature_cache.RESERVE - 1))
    for _ in range(2):
        assert_equal(cache.get(images, network), rounded(images))
    assert len(list(cache.folder.iterdir())) == 1  # which is read
    assert network.calls == [1] * 7
    assert warned == [
        "features are kept no longer, so training is slower: less than 5 GiB of the disk are free; "
        f"free some space or remove {tmp_path}"
    ]


def test_a_folder_that_cannot_be_made_changes_nothing(images, network, tmp_path, warned):
    (tmp_path / "taken").write_bytes(b"")
    assert_equal(FeatureCache(KEY, tmp_path / "taken").get(images, network), rounded(images))
    assert [line.partition(",")[0] for line in warned] == ["features are kept no longer"]


@pytest.mark.parametrize("value", [1e5, float("nan")])
def test_features_that_float16_cannot_hold_are_an_error(images, tmp_path, value):
    with pytest.raises(ValueError, match="features: expected values from -65504 to 65504"):
        FeatureCache(KEY, tmp_path).get(images, lambda images: [torch.full((1, 1, 1, 1), value)])
    assert not list(tmp_path.iterdir())


def test_several_trainings_at_once(images, tmp_path):
    start = Barrier(4)

    def training(_):
        start.wait()
        return FeatureCache(KEY, tmp_path).get(images, Network())

    with ThreadPoolExecutor(4) as pool:
        for features in pool.map(training, range(4)):
            assert_equal(features, rounded(images))
    assert len(list((tmp_path / KEY).iterdir())) == len(images)
    assert_equal(FeatureCache(KEY, tmp_path).get(images, None), rounded(images))


def test_the_key_depends_on_weights_code_and_what_is_extracted(tmp_path):
    torch.manual_seed(0)
    layer, code = nn.Linear(2, 2), tmp_path / "network.py"
    code.write_text("LAYERS = 3\n")

    def key(*extracted):
        return features_key(layer.state_dict(), [code], *extracted)

    keys = [key("conv1")]
    assert key("conv1") == keys[0]
    keys.append(key("conv2"))
    code.write_text("LAYERS = 4\n")
    keys.append(key("conv2"))
    layer.weight.data += 1
    keys.append(key("conv2"))
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("jitter", "p", "augment", "expected"),
    [
        ((), None, (), True),
        (("hflip",), None, (), True),
        (("hflip", "random_zoom"), None, (), False),
        ((), None, ("crop_128",), True),  # one copy, made once
        ((), 0.5, ("crop_128",), False),  # drawn again for each epoch
        ((), 0.5, ("hflip",), True),
        ((), 0.5, (), True),  # of edits, which are files
    ],
)
def test_which_trainings_show_images_again(jitter, p, augment, expected):
    recipe = Recipe(size=(6, 8), jitter=jitter, p=p)
    assert shows_images_again(recipe, Plan(augment=augment)) == expected
