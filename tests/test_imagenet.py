"""ImageNet weights of backbones: every tensor of the published files has its place, and the features are the same.

The kit holds the names of torchvision's MobileNetV2 (0.29) and of PNASNet5Large in Cadene's pretrainedmodels (0.7.4).
It also holds what both give for a synthetic picture with seeded weights: of MobileNetV2 its last features, of PNASNet
every fifth channel of its first four cells.
"""

import json
import runpy

import conformance
import numpy as np
import pytest
import torch

from salbench import registry

FOLDER = conformance.KITS / "imagenet"
EXPECTED = np.load(FOLDER / "expected.npz")
FILES = {"unisal": "mobilenet_v2", "simplenet": "pnasnet5large", "tempsal": "pnasnet5large"}
CELLS = "stem1", "stem2", "cells.0", "cells.1"
SPACE = runpy.run_path(str(conformance.KITS / "weights.py"))


def spec_of(file):
    return json.loads((FOLDER / f"{file}.json").read_text())


def seeded(spec, gain):
    state = SPACE["seeded_state_dict"](spec, gain)
    return {name: state[name].reshape(shape) for name, shape, _ in spec}


def empty(file):
    """A state dict of the file's names and shapes, without memory."""
    return {n: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for n, shape, dtype in spec_of(file)}


def network_of(method):
    with torch.device("cpu" if method.name == "unisal" else "meta"):  # PNASNet takes a second to fill
        return method.build_network()


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


PICTURE = torch.from_numpy(SPACE["synthetic_rgb"](64, 96, 0))[None]


@pytest.mark.parametrize(("name", "file"), FILES.items())
def test_every_tensor_has_its_place_in_every_encoder(name, file):
    method = registry.create(name)
    state, network = method.encoder_state(empty(file)), network_of(method)
    assert {"mobilenet_v2": 312, "pnasnet5large": 1380}[file] == len(state)
    assert len(method.encoders) == {"tempsal": 2}.get(name, 1)
    for encoder in method.encoders:
        assert shapes(state) == shapes(network.get_submodule(encoder).state_dict())


def test_only_the_classifier_of_mobilenet_has_none():
    method = registry.create("unisal")
    assert len(spec_of("mobilenet_v2")) - 312 == 2
    assert "features.18.1.running_var" in method.encoder_state(empty("mobilenet_v2"))


def test_a_file_without_counters_of_batches():
    method, state = registry.create("simplenet"), empty("pnasnet5large")
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    assert shapes(method.encoder_state(old)) == shapes(method.encoder_state(state))


def test_mobilenet_gives_the_features_of_torchvision():
    method = registry.create("unisal")
    cnn = network_of(method).cnn
    cnn.load_state_dict(method.encoder_state(seeded(spec_of("mobilenet_v2"), 1.3)), assign=True)
    with torch.inference_mode():
        features, _, _ = cnn.eval()(method.preprocess(PICTURE))
    np.testing.assert_allclose(features[0], EXPECTED["mobilenet_v2"], rtol=1e-4, atol=1e-4)


def test_pnasnet_gives_the_features_of_pretrainedmodels():
    method = registry.create("simplenet")
    first = ("conv_0", "cell_stem_0", "cell_stem_1", "cell_0", "cell_1")
    spec = [row for row in spec_of("pnasnet5large") if row[0].split(".")[0] in first]
    pnas = network_of(method).pnas
    pnas.load_state_dict(method.encoder_state(seeded(spec, 1.15)), strict=False, assign=True)
    pnas.eval()
    with torch.inference_mode():
        x = pnas.conv0_bn(pnas.conv0(method.preprocess(PICTURE)))
        outputs = [x, x]
        for cell in (pnas.stem1, pnas.stem2, *pnas.cells[:2]):
            outputs.append(cell(*outputs[-2:]))
    for name, ours in zip(CELLS, outputs[2:], strict=True):
        np.testing.assert_allclose(ours[0, ::5], EXPECTED[f"pnasnet5large/{name}"], rtol=1e-4, atol=1e-4)
