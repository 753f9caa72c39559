"""Checkpoints: what is saved comes back, and what is broken or strange is refused with a reason."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from salbench.training import checkpoint
from salbench.training.checkpoint import CheckpointProblem, load, load_into, save

FACTS = {"key": {"seed": 3, "recipe": {"losses": {"kl": 1.0}}}, "history": [{"epoch": 1, "kl": 0.123456789012345}]}


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "image": torch.randn(2, 3, 5, 5, generator=generator).to(memory_format=torch.channels_last),
        "steps": torch.tensor(7),
        "half": torch.randn(5, generator=generator).bfloat16(),
        "empty": torch.empty(0, 2),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "net.safetensors"


def assert_equal(given, expected):
    assert set(given) == set(expected)
    for name, tensor in expected.items():
        assert given[name].dtype == tensor.dtype
        assert torch.equal(given[name], tensor)


def test_round_trip(path, tensors):
    save(path, tensors, FACTS)
    given, facts = load(path)
    assert_equal(given, tensors)
    assert facts == FACTS


def test_the_facts_lie_beside_it_to_read(path, tensors):
    save(path, tensors, FACTS)
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.json", "net.safetensors"]
    assert json.loads(path.with_suffix(".json").read_text()) == FACTS


def test_the_same_tensors_make_the_same_file(path, tensors):
    save(path, tensors, FACTS)
    before = path.read_bytes()
    save(path, {name: t.clone() for name, t in tensors.items()}, FACTS)
    assert path.read_bytes() == before


def test_tensors_may_share_memory(path):
    """As those of a network with tied weights do."""
    weight = torch.arange(6.0).reshape(2, 3)
    save(path, {"encoder": weight, "decoder": weight, "transposed": weight.T}, FACTS)
    assert_equal(load(path)[0], {"encoder": weight, "decoder": weight, "transposed": weight.T})


def test_gradients_are_left_behind(path):
    save(path, {"weight": nn.Parameter(torch.ones(2))}, FACTS)
    assert not load(path)[0]["weight"].requires_grad


def test_missing(path):
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: no such checkpoint"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_torn(path, tensors, share):
    save(path, tensors, FACTS)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or no checkpoint of this project"):
        load(path)


@pytest.mark.parametrize("content", [b"not a checkpoint at all", b"\xff" * 200, b"PK\x03\x04" + bytes(100)])
def test_corrupt(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or no checkpoint of this project"):
        load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"facts": "{not JSON"}])
def test_a_safetensors_file_of_someone_else(path, tensors, metadata):
    path.parent.mkdir()
    save_file({"a.weight": tensors["a.weight"]}, path, metadata)
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or no checkpoint of this project"):
        load(path)


def test_a_folder(path):
    path.mkdir(parents=True)
    with pytest.raises(CheckpointProblem, match="damaged, or no checkpoint of this project"):
        load(path)


def test_a_full_disk_leaves_the_old_file(path, tensors, monkeypatch):
    save(path, tensors, FACTS)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"a.weight": torch.zeros(1)}, {"other": True})
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    assert_equal(load(path)[0], tensors)


def test_a_kill_between_the_two_files_leaves_a_whole_checkpoint(path, tensors, monkeypatch):
    save(path, tensors, FACTS)
    write = checkpoint.atomic_write

    def killed(file, *mode):
        if file.suffix == ".json":
            raise KeyboardInterrupt
        return write(file, *mode)

    monkeypatch.setattr(checkpoint, "atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"new": torch.ones(1)}, {"new": True})
    given, facts = load(path)
    assert_equal(given, {"new": torch.ones(1)})
    assert facts == {"new": True}


class TestLoadInto:
    def network(self, inside=3, bias=True, last="last"):
        return nn.ModuleDict({"first": nn.Linear(inside, 2, bias=bias), last: nn.BatchNorm1d(2)})

    def test_all_tensors_are_replaced(self):
        torch.manual_seed(1)
        giver = self.network()
        giver["last"].running_mean += 5
        giver["last"].num_batches_tracked += 3
        taker = self.network()
        load_into(taker, giver.state_dict(), "file")
        assert_equal(taker.state_dict(), giver.state_dict())

    def refusal(self, given, own):
        before = {name: t.clone() for name, t in own.state_dict().items()}
        with pytest.raises(CheckpointProblem) as problem:
            load_into(own, given.state_dict(), "FILE.safetensors", "do this")
        assert_equal(own.state_dict(), before)
        message = str(problem.value)
        assert message.startswith("FILE.safetensors: the checkpoint of another network: ")
        assert message.endswith("; do this")
        return message.removesuffix("; do this").partition("network: ")[2]

    def test_missing_and_unexpected(self):
        said = self.refusal(self.network(last="other"), self.network(last="last"))
        assert said == "5 missing, such as last.bias (2,); 5 unexpected, such as other.bias (2,)"

    def test_missing_alone(self):
        assert self.refusal(self.network(bias=False), self.network()) == "1 missing, such as first.bias (2,)"

    def test_unexpected_alone(self):
        assert self.refusal(self.network(), self.network(bias=False)) == "1 unexpected, such as first.bias (2,)"

    def test_shapes(self):
        said = self.refusal(self.network(inside=4), self.network(inside=3))
        assert said == "1 of another shape, such as first.weight (2, 4) instead of (2, 3)"
