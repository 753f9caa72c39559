"""Checkpoints: what is saved is read again, and damaged or foreign files are refused with a reason."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from salbench.identity import Identity
from salbench.training import checkpoint
from salbench.training.checkpoint import CheckpointProblem, Counts, EditCounts, Record, load_into, read, save

RECORD = Record(
    identity=Identity({"seed": 3, "recipe": {"losses": {"kl": 1.0}}}),
    step=7,
    history=({"epoch": 1, "kl": 0.123456789012345},),
    data=Counts(5, "spots", captions=2, edits=EditCounts(12, {"contrast": (1.2, 2.0)}, 0.5), start="ImageNet weights"),
    marks=frozenset({"0123456789ab", "ba9876543210"}),
    notes=("said by its authors.",),
)


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
    save(path, tensors, RECORD)
    given = read(path)
    assert_equal(given.tensors, tensors)
    assert given.record == RECORD


def test_an_empty_record(path, tensors):
    save(path, tensors, Record())
    assert read(path).record == Record()


def test_a_part_of_the_tensors(path):
    tensors = {"network.a.b": torch.ones(1), "network_2.a": torch.zeros(1), "average.a.b": torch.zeros(2)}
    save(path, tensors, RECORD)
    assert_equal(read(path).part("network"), {"a.b": torch.ones(1)})


def test_the_record_lies_beside_it_as_json(path, tensors):
    save(path, tensors, RECORD)
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.json", "net.safetensors"]
    assert json.loads(path.with_suffix(".json").read_text()) == {
        "identity": {"seed": 3, "recipe": {"losses": {"kl": 1.0}}},
        "step": 7,
        "history": [{"epoch": 1, "kl": 0.123456789012345}],
        "data": {
            "images": 5, "dataset": "spots", "captions": 2, "boxes": 0,
            "edits": {"images": 12, "strengths": {"contrast": [1.2, 2.0]}, "p": 0.5}, "start": "ImageNet weights",
        },
        "marks": "0123456789ab ba9876543210",
        "notes": ["said by its authors."],
    }  # fmt: skip


def test_tensors_that_are_not_used_take_no_memory(path):
    """Such as the optimizer's in `last.safetensors`, when only the record is needed."""
    save(path, {"optimizer.0": torch.zeros(10_000_000)}, RECORD)
    before = resident()
    kept = read(path)
    assert kept.record == RECORD
    assert resident() - before < 4  # of 40 megabytes


def resident():
    """Memory of this process in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_the_same_tensors_make_the_same_file(path, tensors):
    save(path, tensors, RECORD)
    before = path.read_bytes()
    save(path, {name: t.clone() for name, t in tensors.items()}, RECORD)
    assert path.read_bytes() == before


def test_tensors_may_share_memory(path):
    """As those of a network with tied weights do."""
    weight = torch.arange(6.0).reshape(2, 3)
    save(path, {"encoder": weight, "decoder": weight, "transposed": weight.T}, RECORD)
    assert_equal(read(path).tensors, {"encoder": weight, "decoder": weight, "transposed": weight.T})


def test_gradients_are_left_behind(path):
    save(path, {"weight": nn.Parameter(torch.ones(2))}, RECORD)
    assert not read(path).tensors["weight"].requires_grad


def test_missing(path):
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: no such checkpoint"):
        read(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_torn(path, tensors, share):
    save(path, tensors, RECORD)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or not a checkpoint of salbench"):
        read(path)


@pytest.mark.parametrize("content", [b"not a checkpoint at all", b"\xff" * 200, b"PK\x03\x04" + bytes(100)])
def test_corrupt(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or not a checkpoint of salbench"):
        read(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"record": "{not JSON"}, {"record": '{"other": 1}'}])
def test_a_safetensors_file_of_someone_else(path, tensors, metadata):
    path.parent.mkdir()
    save_file({"a.weight": tensors["a.weight"]}, path, metadata)
    with pytest.raises(CheckpointProblem, match=r"net\.safetensors: damaged, or not a checkpoint of salbench"):
        read(path)


def test_a_folder(path):
    path.mkdir(parents=True)
    with pytest.raises(CheckpointProblem, match="damaged, or not a checkpoint of salbench"):
        read(path)


def test_a_full_disk_leaves_the_old_file(path, tensors, monkeypatch):
    save(path, tensors, RECORD)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, {"a.weight": torch.zeros(1)}, Record())
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    assert_equal(read(path).tensors, tensors)


def test_a_kill_between_the_two_files_leaves_a_whole_checkpoint(path, tensors, monkeypatch):
    save(path, tensors, RECORD)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.tensor_file, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        save(path, {"new": torch.ones(1)}, Record(step=8))
    given = read(path)
    assert_equal(given.tensors, tensors)
    assert given.record == RECORD


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
