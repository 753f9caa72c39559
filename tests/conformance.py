"""What tests of a published network need: its names, seeded weights, and the arrays that its authors' code gave."""

import json
import re
import runpy
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from salbench import registry

KITS = Path(__file__).resolve().parent / "kits"


def load(name):
    """The kit of a method: `names` and seeded `state` of its weights, `expected` arrays, and `picture`, `summary`.

    `picture(height, width, variant)` is a uint8 tensor (1, height, width, 3), `tensor(name, shape, scale)` a float one.
    """
    space, folder = runpy.run_path(str(KITS / "weights.py")), KITS / name
    settings, spec = json.loads((folder / "kit.json").read_text()), space["load_spec"](folder / "state_dict.json")
    state = space["seeded_state_dict"](spec, settings["gain"], settings["overrides"])
    for key, tensor in state.items():  # the first rule whose pattern is in the key
        for _, factor, offset in [rule for rule in settings.get("post", ()) if re.search(rule[0], key)][:1]:
            tensor.mul_(factor).add_(offset)
    return SimpleNamespace(
        names=[key for key, _, _ in spec],
        state={key: state[key].reshape(shape) for key, shape, _ in spec},  # a scalar comes as one number in a row
        expected=np.load(folder / "expected.npz"),
        picture=lambda *size: torch.from_numpy(space["synthetic_rgb"](*size))[None],
        tensor=space["seeded_tensor"],
        summary=space["summary"],
    )


def layout(name):
    """Weights of a kit's names and shapes, for tests of files: a few random numbers over and over, made in no time."""
    space, numbers = runpy.run_path(str(KITS / "weights.py")), np.random.default_rng(0).standard_normal(9973)
    state = {}
    for i, (key, shape, dtype) in enumerate(space["load_spec"](KITS / name / "state_dict.json")):
        own = torch.from_numpy(np.resize(np.roll(numbers, i).astype(np.float32), shape))
        own = own / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else own.abs()  # no variance is negative
        state[key] = own.to(getattr(torch, dtype))
    return state


def with_weights(name, *contents):
    """The method, its network loaded strictly from what its published files hold."""
    method = registry.create(name)
    with torch.device("meta"):  # the tensors of the state dict take the place of all that it has
        network = method.build_network()
    network.load_state_dict(method.published(*contents), strict=True, assign=True)
    method._network = network.eval()
    return method


@contextmanager
def traced(network, modules):
    """Within it, a dict fills with the outputs of modules: {key: name of the module} -> {key: tensor}."""
    outputs = {}

    def keeper(key):
        def keep(module, inputs, output):
            outputs[key] = output

        return keep

    hooks = [network.get_submodule(name).register_forward_hook(keeper(key)) for key, name in modules.items()]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
