"""Files of tensors, compared with those of the package safetensors."""

import os

import pytest
import torch
from safetensors.torch import load_file, save

from salbench.training import tensor_file

TENSORS = {
    "b.weight": torch.randn(3, 4, generator=torch.manual_seed(0)),
    "a.number": torch.tensor(5),
    "half": torch.randn(7, generator=torch.manual_seed(1)).half(),
    "odd": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 3),
    "rounded": torch.randn(3, generator=torch.manual_seed(2)).bfloat16(),
    "turned": torch.randn(4, 5, generator=torch.manual_seed(3)).t(),
    "tied": torch.ones(6)[2:4].requires_grad_(),
    "é": torch.ones(1, dtype=torch.float64),
}


@pytest.mark.parametrize("metadata", [None, {"record": '{"name": "é\n"}'}])
def test_every_byte(tmp_path, metadata):
    path = tmp_path / "a.safetensors"
    tensor_file.write(path, TENSORS, metadata)
    assert path.read_bytes() == save({name: tensor.contiguous() for name, tensor in TENSORS.items()}, metadata)
    assert os.listdir(tmp_path) == ["a.safetensors"]
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, TENSORS[name])


def test_tensors_that_share_memory(tmp_path):
    weight = torch.arange(4.0)
    tensor_file.write(tmp_path / "a.safetensors", {"one": weight, "other": weight, "part": weight[1:3]})
    found = load_file(tmp_path / "a.safetensors")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "one": [0, 1, 2, 3], "other": [0, 1, 2, 3], "part": [1, 2],
    }  # fmt: skip
