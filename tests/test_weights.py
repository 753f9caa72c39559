"""Published weights: found, read without trusting them, loaded strictly, converted, and the whole line to a table."""

import contextlib
import hashlib
import json
import os
import pickle
import re
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from salbench import listing, registry, weights
from salbench.datasets import load
from salbench.evaluation import Broken, Evaluation, Refused, Skipped
from salbench.files import hash_file
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.weights import Checkpoint, WeightsProblem

QUIET = Runtime(progress=False)
RANDOM = Runtime(init="random", progress=False)

TENSORS = {"a.weight": torch.arange(300.0).reshape(3, 100), "n": torch.tensor(7)}

TOY = """
import torch
from torch import nn

from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1)
        self.register_buffer("prior", torch.zeros(24, 32))

    def forward(self, x):
        return self.last(self.first(x).relu())[:, 0] + self.prior


@register
class Toy(LearnedMethod):
    '''A method of the tests.'''

    checkpoints = (
        Checkpoint("toy_best.pth", source="https://example.org/toy", licence="MIT", trained_on="SALICON"),
        Checkpoint(
            "prior.npy",
            source="https://example.org/toy",
            licence="none stated",
            trained_on="MIT1003",
            seen=("mit1003",),
        ),
    )
    recipe = Recipe(size=(24, 32))

    def build_network(self):
        return Network()

    def published(self, state, prior):
        return state["model"] | {"prior": prior}

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5
"""


class Payload:
    """What an attacker would put into a pickle: unpickling it makes a folder."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def as_plain_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def as_old_format(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


class TestCheckpoint:
    @pytest.mark.parametrize("file", ["weights_best.pth", "multilevel.pt", "a b.safetensors", "centerbias.npy"])
    def test_a_name(self, file):
        assert Checkpoint(file, "page", "MIT", "SALICON").file == file

    @pytest.mark.parametrize(
        "file", ["../mine.pth", "/etc/mine.pth", "deep/mine.pth", "..\\mine.pth", "", "..", "mine.zip", "mine", ".pth"]
    )
    def test_nothing_but_the_name_of_a_file(self, file):
        with pytest.raises(
            WeightsProblem, match=rf"without a folder, that ends in .*got '{re.escape(repr(file)[1:-1])}"
        ):
            Checkpoint(file, "page", "MIT", "SALICON")


class TestFolder:
    def test_what_is_told_then_the_environment_then_the_cache(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("SALBENCH_WEIGHTS", raising=False)
        assert weights.folder("toy") == tmp_path / "cache" / "salbench" / "weights" / "toy"
        monkeypatch.setenv("SALBENCH_WEIGHTS", str(tmp_path / "mine"))
        assert weights.folder("toy") == tmp_path / "mine" / "toy"
        assert weights.folder("toy", tmp_path / "told") == tmp_path / "told" / "toy"
        assert weights.converted("toy", tmp_path) == tmp_path / "toy" / "toy.safetensors"

    def test_a_remedy_is_one_line_about_what_is_missing(self, tmp_path):
        files = [Checkpoint(f"{n}.pth", f"https://{n}.org", "MIT", "SALICON") for n in "ab"]
        (tmp_path / "toy").mkdir()
        both = weights.remedy("toy", files, tmp_path)
        assert both.startswith(
            f"has no weights; download a.pth from https://a.org and b.pth from https://b.org into {tmp_path}"
        )
        assert "\n" not in both
        (tmp_path / "toy" / "a.pth").write_bytes(b"")
        assert "download b.pth from https://b.org into" in weights.remedy("toy", files, tmp_path)
        (tmp_path / "toy" / "b.pth").write_bytes(b"")
        assert weights.remedy("toy", files, tmp_path) == ""


class TestRead:
    @pytest.mark.parametrize("name", ["new.pth", "old.pt", "own.safetensors"])
    def test_a_state_dict(self, tmp_path, name):
        save = {"new.pth": torch.save, "old.pt": as_old_format, "own.safetensors": save_file}[name]
        save(TENSORS, tmp_path / name)
        given = weights.read(tmp_path / name)
        assert given.keys() == TENSORS.keys()
        assert all(torch.equal(given[n], t) and given[n].dtype == t.dtype for n, t in TENSORS.items())

    def test_what_authors_wrap_around_it_stays(self, tmp_path):
        torch.save({"epoch": 3, "model": TENSORS}, tmp_path / "a.pth")
        given = weights.read(tmp_path / "a.pth")
        assert given["epoch"] == 3
        assert weights.described(given) == "2 entries: epoch (int), model (dict)"

    def test_an_array(self, tmp_path):
        array = np.random.default_rng(0).normal(size=(4, 5))
        np.save(tmp_path / "a.npy", array)
        given = weights.read(tmp_path / "a.npy")
        np.testing.assert_array_equal(given.numpy(), array)
        assert given.dtype == torch.float64

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
            weights.read(tmp_path / "gone.pth")

    @pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors", "a.npy"])
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\n \n", "is empty"),
            (b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning</title>", "is a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n", "is a pointer of Git LFS"),
            (b"PK\x03\x04" + bytes(100), "damaged, or "),
            (b"\x80\x02" + bytes(100), "damaged, or "),
            (bytes(range(1, 200)), "damaged, or "),
        ],
    )
    def test_no_weights(self, tmp_path, name, content, message):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsProblem, match=rf"{re.escape(name)}: .*{message}.*get "):
            weights.read(tmp_path / name)

    @pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.99])
    @pytest.mark.parametrize("name", ["new.pth", "old.pt", "own.safetensors", "array.npy"])
    def test_truncated(self, tmp_path, name, share):
        saves = {"new.pth": torch.save, "old.pt": as_old_format, "own.safetensors": save_file}
        path = tmp_path / name
        if name in saves:
            saves[name](TENSORS, path)
        else:
            np.save(path, np.ones((20, 20)))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(WeightsProblem, match=rf"{re.escape(name)}: .*damaged, or "):
            weights.read(path)

    @pytest.mark.parametrize("save", [torch.save, as_old_format, as_plain_pickle])
    def test_code_in_a_file_is_never_run(self, tmp_path, save):
        save({"weight": Payload(tmp_path / "harm")}, tmp_path / "evil.pth")
        with pytest.raises(WeightsProblem, match=r"evil\.pth: refused: .* only running code") as problem:
            weights.read(tmp_path / "evil.pth")
        assert "weights_only" not in str(problem.value)  # torch tells how to run it; we do not
        assert not (tmp_path / "harm").exists()
        with contextlib.suppress(RuntimeError):  # of what the plain pickle lacks, after its code has run
            torch.load(tmp_path / "evil.pth", weights_only=False)
        assert (tmp_path / "harm").exists()

    def test_nor_that_in_an_array(self, tmp_path):
        np.save(tmp_path / "evil.npy", np.array([Payload(tmp_path / "harm")]), allow_pickle=True)
        with pytest.raises(WeightsProblem, match=r"evil\.npy: damaged, or not a file of weights"):
            weights.read(tmp_path / "evil.npy")
        assert not (tmp_path / "harm").exists()

    def test_a_whole_module_is_refused(self, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
        with pytest.raises(WeightsProblem, match="holds more than tensors"):
            weights.read(tmp_path / "module.pth")


class TestHash:
    def test_by_hand(self):
        """Each part preceded by its length, in the order of the names."""
        digest = hashlib.sha256()
        one = np.array([[1, 2]], "<f4").tobytes()
        for part in (b"a", b"torch.float32", b"(1, 2)", one, b"b", b"torch.int64", b"()", np.int64(3).tobytes()):
            digest.update(len(part).to_bytes(8, "little") + part)
        tensors = {"b": torch.tensor(3), "a": torch.tensor([[1.0, 2.0]])}
        assert weights.hash_tensors(tensors) == digest.hexdigest()[:16]

    def test_changes_with_every_part(self):
        plain = torch.arange(6.0).reshape(2, 3)
        given = [{"a": plain}, {"b": plain}, {"a": plain + 1}, {"a": plain.T}, {"a": plain.double()}, {"a": plain[0]}]
        assert len({weights.hash_tensors(tensors) for tensors in given}) == len(given)
        assert weights.hash_tensors({"a": plain.T.contiguous().T}) == weights.hash_tensors({"a": plain})


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder of weights, $SALBENCH_WEIGHTS, and a method `toy` that needs some."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    monkeypatch.setattr(registry, "_FOLDERS", [*registry._FOLDERS, folder])
    monkeypatch.setenv("SALBENCH_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def publish(root, seed=0, **changes):
    """Put the toy's files where they belong; returns the state dict of its network."""
    torch.manual_seed(seed)
    state = registry.create("toy").build_network().state_dict()
    prior = np.random.default_rng(seed).normal(size=(24, 32))
    del state["prior"]
    (root / "toy").mkdir(parents=True, exist_ok=True)
    torch.save({"model": state | changes, "epoch": 3}, root / "toy" / "toy_best.pth")
    np.save(root / "toy" / "prior.npy", prior)
    return state | {"prior": torch.from_numpy(prior).float()}


popout = cache(partial(load, "popout"))


def sample(number=0):
    return popout().samples[number].blind()


class TestLoading:
    def test_the_prediction_is_of_the_published_weights(self, root):
        state = publish(root)
        method = registry.create("toy")
        assert method.weights_hash() == weights.hash_tensors(state)
        network = method.build_network()
        network.load_state_dict(state)
        with torch.no_grad():
            logits = network(method.preprocess(method.images_of(sample())))[0]
        np.testing.assert_allclose(method.predict(sample()), logits - logits.logsumexp((0, 1)), atol=1e-5)

    @pytest.mark.parametrize("file", ["toy_best.pth", "prior.npy"])
    def test_a_file_that_is_missing(self, root, file):
        publish(root)
        (root / "toy" / file).unlink()
        for call in (lambda m: m.predict(sample()), lambda m: m.weights_hash()):
            with pytest.raises(
                registry.MethodUnavailable, match=rf"^has no weights; download {file} from https://example.org"
            ):
                call(registry.create("toy"))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"extra": torch.ones(2), "more": torch.ones(3)}, r"2 unexpected, such as extra \(2,\)"),
            ({"last.bias": torch.ones(2)}, r"1 of another shape, such as last\.bias \(2,\) instead of \(1,\)"),
        ],
    )
    def test_strictly(self, root, changes, said):
        publish(root, **changes)
        expected = rf"toy_best\.pth: .*another network: {said}; expected is the file that https://example\.org/toy"
        with pytest.raises(ValueError, match=expected):
            registry.create("toy").predict(sample())

    def test_strictly_when_some_are_missing(self, root):
        publish(root)
        torch.save({"model": {"first.bias": torch.ones(4)}}, root / "toy" / "toy_best.pth")
        with pytest.raises(ValueError, match=r"3 missing, such as first\.weight \(4, 3, 3, 3\); expected is"):
            registry.create("toy").predict(sample())

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"state_dict": {}, "epoch": 3}, r"2 entries: state_dict \(dict\), epoch \(int\) \(KeyError\('model'\)\)"),
            ([TENSORS], r"a list \(TypeError"),
            ({"model": {"first.weight": 3}}, r"1 entries: model \(dict\) \(AttributeError"),
        ],
    )
    def test_another_layout_than_the_method_knows(self, root, content, said):
        publish(root)
        torch.save(content, root / "toy" / "toy_best.pth")
        with pytest.raises(WeightsProblem, match=rf"expected what https://example\.org/toy publishes, got {said}"):
            registry.create("toy").predict(sample())

    def test_what_it_is_told_to_use_comes_first_then_its_own_then_converted_then_official(self, root, tmp_path):
        hashes = {}
        for seed, name in enumerate(("told", "own", "converted", "official")):
            publish(root, seed=seed)
            method = registry.create("toy")
            hashes[name] = method.weights_hash()
            if name != "official":
                method.convert().rename(tmp_path / f"{name}.safetensors")
        assert len(set(hashes.values())) == 4

        def used(method):
            return weights.hash_tensors(method.network.state_dict())

        assert used(registry.create("toy")) == hashes["official"]
        (tmp_path / "converted.safetensors").rename(weights.converted("toy"))
        assert used(registry.create("toy")) == hashes["converted"]
        method = registry.create("toy", Runtime(weights_root=tmp_path / "elsewhere"))
        with pytest.raises(registry.MethodUnavailable, match="elsewhere/toy"):
            method.predict(sample())
        registry.get("toy").weights = tmp_path / "own.safetensors"
        try:
            assert used(registry.create("toy")) == hashes["own"]
            assert used(registry.create(f"toy:{tmp_path}/told.safetensors")) == hashes["told"]
        finally:
            registry.get("toy").weights = None


class TestConvert:
    def test_the_same_predictions_and_hash_without_the_official_files(self, root):
        state = publish(root)
        method = registry.create("toy")
        before, hashed = method.predict(sample()), method.weights_hash()
        files = {file: hash_file(root / "toy" / file) for file in ("toy_best.pth", "prior.npy")}
        assert method.convert() == root / "toy" / "toy.safetensors"
        for file in files:
            (root / "toy" / file).unlink()
        again = registry.create("toy")
        np.testing.assert_array_equal(again.predict(sample()), before)
        assert again.weights_hash() == hashed == weights.hash_tensors(state)
        facts = json.loads((root / "toy" / "toy.json").read_text())["identity"]
        assert (facts["method"], facts["weights"]) == ("toy", hashed)
        assert {row["file"]: row["hash"] for row in facts["files"]} == files
        assert [row["licence"] for row in facts["files"]] == ["MIT", "none stated"]

    def test_a_copy_of_the_file_says_what_it_was_trained_on(self, root, tmp_path):
        publish(root)
        path = registry.create("toy").convert().rename(tmp_path / "copy.safetensors")
        method = registry.create(f"toy:{path}")
        assert method.notes()[0] == "published weights (toy_best.pth), trained on SALICON."
        assert method.weights_hash() == weights.hash_tensors(checkpoint.read(path).tensors)

    def test_data_sets_of_which_it_has_seen_all(self, root, tmp_path):
        publish(root)
        images = [replace(sample(), dataset=name) for name in ("mit1003", "osie", None)]
        assert registry.create("toy").seen(images) == images[:1]
        path = registry.create("toy").convert().rename(tmp_path / "copy.safetensors")
        assert registry.create(f"toy:{path}").seen(images) == images[:1]

    def test_a_damaged_one_is_told(self, root):
        publish(root)
        path = registry.create("toy").convert()
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ValueError, match=r"toy\.safetensors: damaged"):
            registry.create("toy").weights_hash()

    def test_one_of_another_network_is_told(self, root):
        publish(root)
        path = registry.create("toy").convert()
        tensors = weights.read(path)
        del tensors["prior"]
        save_file(tensors, path, {"record": "{}"})
        with pytest.raises(
            ValueError, match=r"1 missing, such as prior \(24, 32\); remove it, or convert the published"
        ):
            registry.create("toy").predict(sample())


def test_the_list_of_methods_says_whether_weights_are_there(root):
    def skipped():
        return {row["name"]: row["skipped"] for row in listing.methods()}

    before = skipped()
    assert before["toy"] == "no weights, see: salbench weights"
    assert before["uniform"] is None
    publish(root)
    assert skipped()["toy"] is None


class TestScoring:
    @pytest.fixture
    def score(self, tmp_path):
        """A function of a method's spec: score it on three pictures."""
        dataset = replace(popout(), samples=popout().samples[:3])
        return lambda spec="toy", runtime=QUIET: Evaluation(
            dataset, PROTOCOLS["tuebingen"], tmp_path / "out", runtime
        ).run(spec)

    def test_without_weights_it_is_skipped(self, root, score):
        skipped = score()
        assert isinstance(skipped, Skipped)
        files = "download toy_best.pth and prior.npy from https://example.org/toy"
        assert skipped.reason == f"has no weights; {files} into {root}/toy (see: salbench weights)"

    def test_a_result_is_of_its_weights_in_whatever_file(self, root, score):
        state = publish(root)
        result = score()
        assert result.n_failed == 0
        assert result.identity["weights"] == weights.hash_tensors(state)
        assert result.notes[0] == "published weights (toy_best.pth), trained on SALICON."
        registry.create("toy").convert()
        assert score() == result  # complete already, also with the converted file
        weights.converted("toy").unlink()
        publish(root, seed=1)
        assert isinstance(score(), Refused)

    def test_a_file_that_cannot_be_used_breaks_the_method_and_not_every_image(self, root, score):
        publish(root)
        (root / "toy" / "toy_best.pth").write_bytes(b"<html>")
        broken = score()
        assert isinstance(broken, Broken)
        assert "is a web page" in broken.reason

    def test_random_weights_are_labelled(self, root, score):
        result = score(runtime=RANDOM)
        assert (result.method, result.untrained, result.identity["weights"]) == ("toy+random-init", True, None)
        assert result.notes == ["random weights, never trained: its scores mean nothing."]

    def test_random_weights_are_for_networks_without_given_weights(self, root, score, tmp_path):
        assert isinstance(score("uniform", RANDOM), Skipped)
        skipped = score(f"toy:{tmp_path}", RANDOM)
        assert isinstance(skipped, Skipped)
        assert skipped.reason.startswith(f"was told to use {tmp_path}/best.safetensors")


class TestRandomInit:
    def test_always_the_same_weights_and_no_other_random_number_moves(self, root):
        hashes = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            expected = torch.rand(1)
            torch.manual_seed(seed)
            method = registry.create("toy", RANDOM)
            hashes.append(weights.hash_tensors(method.network.state_dict()))
            assert torch.equal(torch.rand(1), expected)
        assert hashes[0] == hashes[1]

    def test_published_weights_are_not_used(self, root):
        publish(root, seed=5)
        published = registry.create("toy").predict(sample())
        assert np.abs(registry.create("toy", RANDOM).predict(sample()) - published).max() > 1e-3
