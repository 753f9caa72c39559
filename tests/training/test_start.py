"""What a training starts from: what is loaded, what is recorded and printed, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from toys import write_edits

from salbench import edits, registry
from salbench.files import hash_file
from salbench.registry import MethodProblem, MethodUnavailable
from salbench.runtime import Runtime
from salbench.training import TrainingProblem, checkpoint
from salbench.training.start import begin, names, suffix
from salbench.training_plan import Plan
from salbench.weights import WeightsProblem, hash_tensors

METHOD = """
from collections import OrderedDict
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint


@register
class Own(LearnedMethod):
    '''A method of the tests, with an encoder and a decoder.'''

    checkpoints = (
        Checkpoint("own.pth", source="https://example.org/own", licence="MIT", trained_on="SALICON", seen=("salicon",)),
    )
    imagenet = (Checkpoint("net.pth", source="https://example.org/net", licence="MIT", trained_on="ImageNet"),)
    encoders = ("encoder",)
    recipe = Recipe(size=(24, 32), epochs=1, batch_size=4, learning_rate=0.02, warmup_steps=2, validation_share=0.3)

    def build_network(self):
        encoder, decoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU()), nn.Conv2d(4, 1, 1)
        return nn.Sequential(OrderedDict(encoder=encoder, decoder=decoder, flat=nn.Flatten(1, 2)))

    def encoder_state(self, state):
        return {name.removeprefix("features."): tensor for name, tensor in state["model"].items()}

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5
"""


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "own.py").write_text(METHOD)
    monkeypatch.setattr(registry, "_FOLDERS", [*registry._FOLDERS, folder])


@pytest.fixture
def runtime(tmp_path):
    return Runtime(weights_root=tmp_path / "weights", progress=False)


@pytest.fixture
def method(runtime):
    return registry.create("own", runtime)


@pytest.fixture
def root(tmp_path, method):
    """The weights root with both files, of random numbers."""
    root = tmp_path / "weights"
    for folder in ("own", "imagenet"):
        (root / folder).mkdir(parents=True)
    torch.manual_seed(7)
    torch.save(method.build_network().state_dict(), root / "own" / "own.pth")
    encoder = method.build_network().encoder.state_dict()
    torch.save({"model": {f"features.{name}": t for name, t in encoder.items()}}, root / "imagenet" / "net.pth")
    return root


@pytest.fixture
def samples(make_spots):
    return make_spots(12)


@pytest.fixture
def fit(runtime, samples, tmp_path):
    """A function of a start: the method, trained from there in a folder."""

    def fitted(start=None, folder="run", *, images=samples, **options):
        plan = Plan(tmp_path / folder, "spots", start=start, **options)
        return registry.create("own", runtime).fit(images, plan)

    return fitted


def begun(method, start=None, seed=0):
    """State dict of a network at its start, and what is recorded."""
    torch.manual_seed(seed)
    network, start = begin(method, Plan(start=start))
    return network.state_dict(), start


def assert_equal(tensors, others):
    assert tensors.keys() == others.keys()
    assert all(torch.equal(t, others[name]) for name, t in tensors.items())


def part(tensors, name):
    return {key: t for key, t in tensors.items() if key.startswith(f"{name}.")}


class TestWhatIsLoaded:
    def test_nothing_by_default(self, method):
        torch.manual_seed(0)
        expected = method.build_network().state_dict()
        for start in (None, "none"):
            state, record = begun(method, start)
            assert_equal(state, expected)
            assert record.facts() == {"from": "none", "weights": None, "edits": None}

    def test_imagenet_fills_the_encoder_alone(self, method, root):
        state, start = begun(method, "imagenet")
        file = torch.load(root / "imagenet" / "net.pth")["model"]
        assert_equal(part(state, "encoder"), {f"encoder.{n.removeprefix('features.')}": t for n, t in file.items()})
        random, _ = begun(method)
        assert_equal(part(state, "decoder"), part(random, "decoder"))
        assert start.facts() == {"from": "imagenet", "weights": hash_tensors(part(state, "encoder")), "edits": None}

    def test_published_fills_all(self, method, root):
        state, start = begun(method, "published")
        assert_equal(state, torch.load(root / "own" / "own.pth"))
        assert start.facts() == {"from": "published", "weights": hash_tensors(state), "edits": None}

    def test_published_may_be_converted(self, method, root):
        expected, start = begun(method, "published")
        method.convert()
        (root / "own" / "own.pth").unlink()
        state, again = begun(method, "published")
        assert_equal(state, expected)
        assert again == start

    @pytest.mark.parametrize("file", ["", "best.safetensors"])
    def test_a_checkpoint_fills_all(self, method, fit, tmp_path, file):
        trained = fit().trained
        state, start = begun(method, tmp_path / "run" / file)
        assert_equal(state, trained.tensors)
        assert start.facts() == {"from": "checkpoint", "weights": hash_tensors(trained.tensors), "edits": None}
        assert start.marks == trained.record.marks

    def test_the_loaded_weights_are_trained(self, fit, root):
        before = torch.load(root / "own" / "own.pth")
        after = fit("published").trained.tensors
        assert not any(torch.equal(t, before[name]) for name, t in after.items())
        assert all((t - before[name]).abs().max() < 1 for name, t in after.items())


class TestRecord:
    def test_identity_and_note(self, fit, root, tmp_path):
        said = {
            "none": "random weights",
            "imagenet": "ImageNet weights",
            "published": "the published weights (trained on SALICON)",
        }
        for start, words in said.items():
            method = fit(start, start)
            assert method.trained.record.identity["start"]["from"] == start
            assert method.notes() == [f"trained from {words} on 9 images of spots."]
            read = json.loads((tmp_path / start / "best.json").read_text())
            assert (read["data"]["start"], read["identity"]["start"]["from"]) == (words, start)

    def test_what_the_checkpoint_was_trained_on_is_said_and_seen(self, fit, make_spots, tmp_path):
        others = make_spots(20, seed=1)
        first = fit("none", "first", images=others)
        second = fit(tmp_path / "first", "second")
        assert second.notes() == [f"trained from a checkpoint ({first.notes()[0].rstrip('.')}) on 9 images of spots."]
        assert second.seen(others) == others

    def test_data_sets_of_which_the_published_weights_have_seen_all(self, fit, root, make_spots, tmp_path):
        others = [replace(spot, dataset="salicon") for spot in make_spots(3, seed=1)]
        fit("published", "first")
        assert fit(tmp_path / "first", "second").seen(others) == others
        assert fit("none", "third").seen(others) == []

    def test_edits_of_the_checkpoint_are_known(self, fit, samples, tmp_path):
        write_edits(tmp_path / "edits", samples)
        edit_set = edits.read(tmp_path / "edits")
        fit("none", "first", edits=edit_set, recipe={"p": 0.5})
        second = fit(str(tmp_path / "first"), "second")
        third = fit(tmp_path / "second", "third")
        assert second.knows_edits(edit_set.fingerprint)
        assert third.knows_edits(edit_set.fingerprint)
        assert not third.knows_edits("0123456789abcdef")
        assert ", with edits)" in second.notes()[0]

    def test_a_training_without_a_record_of_its_start_had_random_weights(self):
        record = checkpoint.Record(data=checkpoint.Counts(7)).to_json()
        del record["data"]["start"]
        assert registry.create("own").notes_on(checkpoint.Record.from_json(record).data) == [
            "trained from random weights on 7 images."
        ]


class TestResuming:
    def test_gives_the_same_weights(self, fit, root, monkeypatch):
        recipe = {"epochs": 2}
        whole = fit("imagenet", "whole", recipe=recipe).trained
        with monkeypatch.context() as patch:
            patch.setattr("salbench.training.loop.Trainer._is_over", lambda self: len(self.history) == 1)
            assert fit("imagenet", "stopped", recipe=recipe).trained.record.step == whole.record.step // 2
        assert_equal(fit("imagenet", "stopped", recipe=recipe).trained.tensors, whole.tensors)

    def test_from_another_start_is_refused(self, fit, root):
        fit("imagenet")
        for start in ("none", "published"):
            said = rf"made with other settings \(start\.from {start} instead of imagenet; the weights or maps differ"
            with pytest.raises(TrainingProblem, match=said):
                fit(start)
        file = torch.load(root / "imagenet" / "net.pth")
        file["model"]["features.0.bias"] += 1
        torch.save(file, root / "imagenet" / "net.pth")
        with pytest.raises(TrainingProblem, match=r"\(the weights or maps differ"):
            fit("imagenet")


class TestRefused:
    def test_a_start_that_the_method_does_not_have(self):
        lite = registry.get("lite")
        for start in ("imagenet", "published", "imagnet", "nowhere/best.safetensors"):
            with pytest.raises(MethodProblem) as problem:
                suffix(lite, start)
            assert str(problem.value) == (
                "lite: expected to start from none, or from a checkpoint or folder of another training of lite, "
                f"got {start}"
            )

    def test_random_weights_where_the_encoder_is_never_trained(self):
        assert names(registry.get("deepgaze_iie")) == ["imagenet", "published"]
        with pytest.raises(MethodProblem, match="deepgaze_iie: expected to start from imagenet, published, or"):
            suffix(registry.get("deepgaze_iie"), "none")

    def test_a_method_that_is_no_network(self):
        with pytest.raises(MethodProblem, match="uniform: --from requires a network"):
            suffix(registry.get("uniform"), "none")

    def test_missing_files(self, method, fit, tmp_path):
        root = tmp_path / "weights"
        with pytest.raises(MethodUnavailable) as problem:
            fit("imagenet")
        assert str(problem.value) == (
            "needs ImageNet's weights to start from; download net.pth from https://example.org/net into "
            f"{root / 'imagenet'} (see: salbench weights)"
        )
        with pytest.raises(MethodUnavailable, match=r"^has no weights; download own\.pth"):
            fit("published")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"model": {}}, r"net\.pth: the checkpoint of another network: 2 missing"),
            ({"model": {"0.weight": torch.zeros(4, 3, 1, 1), "0.bias": torch.zeros(4)}}, "1 of another shape"),
            ({"state": {}}, r"net\.pth: expected what https://example\.org/net publishes, got 1 entries: state"),
        ],
    )
    def test_files_of_another_network(self, method, root, content, said):
        torch.save(content, root / "imagenet" / "net.pth")
        with pytest.raises(WeightsProblem, match=said):
            begun(method, "imagenet")

    def test_a_checkpoint_of_another_network(self, method):
        lite = registry.get("lite").weights
        with pytest.raises(WeightsProblem, match=r"another network: .*expected is a checkpoint of a training of own$"):
            begun(method, lite)

    def test_a_checkpoint_of_another_setup(self, fit, runtime, tmp_path, monkeypatch):
        fit()
        method = registry.create("own", runtime)
        monkeypatch.setattr(type(method), "setup", lambda self: {"backbone": "another"})
        with pytest.raises(WeightsProblem, match=r"best\.safetensors: made with other settings \(backbone another"):
            begun(method, tmp_path / "run")


class TestSuffix:
    @pytest.mark.parametrize("start", [None, "none"])
    def test_none_for_the_usual_start(self, start):
        assert suffix(registry.get("own"), start) == ""
        assert suffix(registry.get("uniform"), None) == ""
        assert suffix(registry.get("deepgaze_iie"), "imagenet") == ""

    def test_the_name(self):
        assert suffix(registry.get("own"), "published") == "-from-published"

    def test_folder_and_hash_of_a_checkpoint(self, fit, tmp_path):
        fit(folder="spots/seed0")
        file = tmp_path / "spots" / "seed0" / "best.safetensors"
        ends = {suffix(registry.get("own"), start) for start in (file, str(file.parent))}
        assert ends == {f"-from-spots-seed0-{hash_file(file)[:8]}"}
        last = suffix(registry.get("own"), file.with_name("last.safetensors"))
        assert last.startswith("-from-seed0-last-")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lite", ["none"]),
        ("diffusion_readout", ["none"]),
        ("unisal", ["none", "imagenet", "published"]),
        ("simplenet", ["none", "imagenet", "published"]),
        ("tempsal", ["none", "imagenet", "published"]),
        ("transalnet_res", ["none", "imagenet", "published"]),
        ("transalnet_dense", ["none", "imagenet", "published"]),
    ],
)
def test_the_starts_of_each_method(name, expected):
    assert names(registry.get(name)) == expected
