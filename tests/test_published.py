"""The published networks on real photographs: seeded weights in their official files, from the files to a table."""

import json

import conformance
import numpy as np
import pytest
import torch

from salbench import registry, weights
from salbench.cli import main
from salbench.runtime import Runtime

KITS = {"unisal": "unisal", "simplenet": "simplenet", "tempsal": "tempsal", "deepgaze_iie": "deepgaze2e"}


@pytest.fixture(params=KITS)
def name(request):
    return request.param


@pytest.fixture
def root(name, tmp_path):
    """A weights root with the files that the method's authors publish; their weights are the kit's."""
    folder = weights.folder(name, tmp_path / "weights")
    folder.mkdir(parents=True)
    official, *prior = (checkpoint.file for checkpoint in registry.get(name).checkpoints)
    torch.save(conformance.load(KITS[name]).state, folder / official)
    for file in prior:
        rows, columns = np.mgrid[-1:1:1024j, -1:1:1024j]
        np.save(folder / file, -2 * rows**2 - columns**2)
    return tmp_path / "weights"


def test_scored_stopped_resumed_and_printed(name, root, shared, tmp_path, monkeypatch, capsys):
    cls, seen = registry.get(name), []
    predict = cls.predict_batch

    def until_the_third(self, samples):
        seen.extend(sample.id for sample in samples)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return predict(self, samples)

    monkeypatch.setattr(cls, "predict_batch", until_the_third)
    out = tmp_path / "out"
    arguments = [
        "run",
        "--methods",
        name,
        "--dataset",
        "osie_test",
        "--limit",
        "3",
        "--workers",
        "1",
        "--batch-size",
        "1",
    ]
    arguments += ["--data-root", str(shared / "data"), "--weights-root", str(root), "--out", str(out)]
    assert main(arguments) == 130
    assert main(arguments) == 0
    assert 4 <= len(seen) <= 5  # what was finished was not predicted again; the second image was in flight
    result = json.loads((out / "osie_test_first3" / f"{name}.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (3, 0)
    method = registry.create(name, Runtime(weights_root=root))
    assert result["identity"]["weights"] == weights.hash_tensors(method.network.state_dict())
    printed = capsys.readouterr().out
    assert f"| {name} " in printed
    assert f"- {name}: published weights ({cls.checkpoints[0].file})" in printed
