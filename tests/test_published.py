"""The published networks on real photographs: weights in the layout of their official files, from the files to a table.

One network of each layout of files; some are small here, and all see small images. Their own tests run them with the
kits' weights.
"""

import json
from contextlib import nullcontext
from functools import cache

import caffemodel_writer
import conformance
import frozen_graph_writer
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from keras_writer import write_keras
from small_networks import small_networks

from salbench import registry, weights
from salbench.cli import main
from salbench.datasets import _nus_vip

pytestmark = pytest.mark.slow
SMALL = "tempsal", "deepgaze_iie", "transalnet_dense", "salgan"
NETWORKS = (
    "unisal",  # the state dict as it is
    "tempsal",  # behind "module."
    "deepgaze_iie",  # a centre bias beside it
    "transalnet_dense",  # the image has a say in the shapes of its weights
    "emlnet",  # three files
    "opensalicon",  # Caffe; trained on images of OSIE
    "dinet",  # Keras, from weights that were saved alone
    "msinet",  # a frozen graph of TensorFlow
    "salgan",  # arrays of numpy
)
KITS = {"opensalicon": "salicon"}  # of another name
PARTS = "image_model.", "place_model.", "decoder."  # of emlnet, a file each
WRITERS = {
    ".caffemodel": caffemodel_writer.write,
    ".pkl": write_keras,
    ".pb": frozen_graph_writer.write,
    ".npz": lambda path, state: np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()}),
}


def state_of(name):
    """The state dict in the file that the authors publish: of the kit's layout, or that of a small network."""
    if name not in SMALL:
        return conformance.layout(KITS.get(name, name))
    state = registry.create(name).build_network().state_dict()
    state.pop("center_bias", None)  # has a file of its own
    if name == "salgan":
        return {f"arr_{i}": tensor for i, tensor in enumerate(state.values())}
    return {f"module.{key}": tensor for key, tensor in state.items()} if name == "tempsal" else state


def contents_of(name):
    """What each file that the authors publish holds."""
    state = state_of(name)
    if name == "emlnet":
        return [{key.removeprefix(part): t for key, t in state.items() if key.startswith(part)} for part in PARTS]
    if name == "deepgaze_iie":
        rows, columns = np.mgrid[-1:1:1024j, -1:1:1024j]
        return [state, torch.from_numpy(-2 * rows**2 - columns**2)]
    return [state]


@pytest.fixture(scope="module", autouse=True)
def _one_reading_of_fixations():
    """Reading all of OSIE's takes longer than some of the networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_nus_vip, "_read_fixations", cache(_nus_vip._read_fixations))
        yield


@pytest.fixture
def write_weights(tmp_path):
    """A function of a method: a weights root with the files that its authors publish, and what they hold."""

    def write(name):
        folder = weights.folder(name, tmp_path / "weights")
        folder.mkdir(parents=True)
        contents = contents_of(name)
        for published, content in zip(registry.get(name).checkpoints, contents, strict=True):
            path = folder / published.file
            if path.suffix == ".npy":
                np.save(path, content)
            else:
                WRITERS.get(path.suffix, lambda path, state: torch.save(state, path))(path, content)
        return tmp_path / "weights", contents

    return write


def command(name, root, shared, out, limit):
    words = f"run --methods {name} --dataset osie_test --limit {limit} --workers 1 --batch-size 1".split()
    return [*words, "--data-root", str(shared / "data"), "--weights-root", str(root), "--out", str(out)]


@pytest.mark.parametrize("name", NETWORKS)
def test_scored_and_printed(name, write_weights, shared, tmp_path, capsys, monkeypatch):
    if name != "transalnet_dense":
        monkeypatch.setattr(registry.get(name), "recipe", registry.get(name).recipe.at((96, 128)))
    with small_networks() if name in SMALL else nullcontext():
        (root, contents), out = write_weights(name), tmp_path / "out"
        with blank_networks():
            assert main(command(name, root, shared, out, limit=1)) == 0
            method = registry.create(name)
            loaded = weights.hash_tensors(method.published(*contents))
    result = json.loads((out / "osie_test_first1" / f"{name}.json").read_text())
    assert (result["n_images"], result["n_failed"]) == (1, 0)
    assert result["identity"]["weights"] == loaded
    printed = capsys.readouterr().out
    assert f"| {name} " in printed
    assert all(f"published weights ({published.file})" in printed for published in method.checkpoints)
    assert ("trained on 1 of these images" in printed) == (name == "opensalicon")


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
