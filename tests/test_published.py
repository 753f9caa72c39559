"""The published networks on real photographs: seeded weights in their official files, from the files to a table."""

import json

import conformance
import numpy as np
import pytest
import torch

from salbench import registry, weights
from salbench.cli import main
from salbench.runtime import Runtime

pytestmark = pytest.mark.slow
KITS = {"unisal": "unisal", "simplenet": "simplenet", "tempsal": "tempsal", "deepgaze_iie": "deepgaze2e"}


@pytest.fixture
def write_weights(tmp_path):
    """A function of a method: a weights root with the files that its authors publish; their weights are the kit's."""

    def write(name):
        folder = weights.folder(name, tmp_path / "weights")
        folder.mkdir(parents=True)
        official, *prior = (checkpoint.file for checkpoint in registry.get(name).checkpoints)
        torch.save(conformance.load(KITS[name]).state, folder / official)
        for file in prior:
            rows, columns = np.mgrid[-1:1:1024j, -1:1:1024j]
            np.save(folder / file, -2 * rows**2 - columns**2)
        return tmp_path / "weights"

    return write


def command(name, root, shared, out, limit):
    words = f"run --methods {name} --dataset osie_test --limit {limit} --workers 1 --batch-size 1".split()
    return [*words, "--data-root", str(shared / "data"), "--weights-root", str(root), "--out", str(out)]


@pytest.mark.parametrize("name", KITS)
def test_scored_and_printed(name, write_weights, shared, tmp_path, capsys):
    root, out = write_weights(name), tmp_path / "out"
    assert main(command(name, root, shared, out, limit=1)) == 0
    result = json.loads((out / "osie_test_first1" / f"{name}.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (1, 0)
    method = registry.create(name, Runtime(weights_root=root))
    assert result["identity"]["weights"] == weights.hash_tensors(method.network.state_dict())
    printed = capsys.readouterr().out
    assert f"| {name} " in printed
    assert f"- {name}: published weights ({method.checkpoints[0].file})" in printed


def test_stopped_and_resumed(write_weights, shared, tmp_path, monkeypatch):
    """The smallest of them: how a run stops does not depend on the network."""
    cls, seen = registry.get("unisal"), []
    predict = cls.predict_batch

    def until_the_third(self, samples):
        seen.extend(sample.id for sample in samples)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return predict(self, samples)

    monkeypatch.setattr(cls, "predict_batch", until_the_third)
    arguments = command("unisal", write_weights("unisal"), shared, tmp_path / "out", limit=3)
    assert main(arguments) == 130
    assert main(arguments) == 0
    assert 4 <= len(seen) <= 5  # what was finished was not predicted again; the second image was in flight
    result = json.loads((tmp_path / "out" / "osie_test_first3" / "unisal.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (3, 0)
