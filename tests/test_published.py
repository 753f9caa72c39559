"""The published networks on real photographs: seeded weights in their official files, from the files to a table.

Those of tempsal and deepgaze_iie are made small here: they are run whole in test_tempsal.py and test_deepgaze_iie.py.
"""

import json
from contextlib import nullcontext

import conformance
import numpy as np
import pytest
import torch
from small_networks import small_networks

from salbench import registry, weights
from salbench.cli import main

pytestmark = pytest.mark.slow
SMALL = "tempsal", "deepgaze_iie"


def state_of(name):
    """The state dict in the file that the authors publish: the kit's, or that of a small network."""
    if name not in SMALL:
        return conformance.load(name).state
    state = registry.create(name).build_network().state_dict()
    state.pop("center_bias", None)  # has a file of its own
    return {f"module.{key}": tensor for key, tensor in state.items()} if name == "tempsal" else state


@pytest.fixture
def write_weights(tmp_path):
    """A function of a method: a weights root with the files that its authors publish, and what they hold."""

    def write(name):
        folder = weights.folder(name, tmp_path / "weights")
        folder.mkdir(parents=True)
        official, *prior = (checkpoint.file for checkpoint in registry.get(name).checkpoints)
        state = state_of(name)
        torch.save(state, folder / official)
        rows, columns = np.mgrid[-1:1:1024j, -1:1:1024j]
        priors = [torch.from_numpy(-2 * rows**2 - columns**2) for _ in prior]
        for file, content in zip(prior, priors, strict=True):
            np.save(folder / file, content)
        return tmp_path / "weights", [state, *priors]

    return write


def command(name, root, shared, out, limit):
    words = f"run --methods {name} --dataset osie_test --limit {limit} --workers 1 --batch-size 1".split()
    return [*words, "--data-root", str(shared / "data"), "--weights-root", str(root), "--out", str(out)]


@pytest.mark.parametrize("name", ["unisal", "simplenet", *SMALL])
def test_scored_and_printed(name, write_weights, shared, tmp_path, capsys):
    with small_networks() if name in SMALL else nullcontext():
        (root, contents), out = write_weights(name), tmp_path / "out"
        assert main(command(name, root, shared, out, limit=1)) == 0
    result = json.loads((out / "osie_test_first1" / f"{name}.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (1, 0)
    method = registry.create(name)
    assert result["identity"]["weights"] == weights.hash_tensors(method.published(*contents))
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
    arguments = command("unisal", write_weights("unisal")[0], shared, tmp_path / "out", limit=3)
    assert main(arguments) == 130
    assert main(arguments) == 0
    assert 4 <= len(seen) <= 5  # what was finished was not predicted again; the second image was in flight
    result = json.loads((tmp_path / "out" / "osie_test_first3" / "unisal.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (3, 0)
