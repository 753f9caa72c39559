"""Several processes, as on several GPUs: they make the weights that one process makes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from salbench.edits import NewEdit, Writer
from salbench.training import checkpoint

ROOT = Path(__file__).resolve().parents[2]
METHOD = """
import torch
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe


@register
class Twin(LearnedMethod):
    '''A method of the tests.'''

    recipe = Recipe(size=(12, 16), epochs=1, batch_size=4, warmup_steps=1, validation_share=0.3)

    def build_network(self):
        torch.manual_seed(0)
        last = nn.Conv2d(4, 1, 1, bias=False)
        last.register_buffer("sent", torch.ones(1))  # from the first process to the others, in every pass
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), last, nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5
"""
FIT = """
import sys
from pathlib import Path
from salbench import datasets, edits, registry
from salbench.training_plan import Plan
from salbench.runtime import Runtime

place, out = Path(sys.argv[1]), sys.argv[2]
registry.add_folder(place / "methods")
plan = Plan(folder=out)
if (place / "edits").exists():
    losses = {"agreement": 1.0, "increase": 1.0}
    plan = Plan(folder=out, edits=edits.read(place / "edits"), recipe={"p": 0.0, "edit_losses": losses})
registry.create("twin", Runtime(progress=False)).fit(datasets.load(f"folder:{place / 'set'}").samples, plan)
"""


def write_edits(folder):
    """Edits of every fourth image: often one process has an edit in its share of the batch and the other none."""
    writer = Writer(folder, {})
    for i in range(0, 16, 4):
        original = np.full((24, 32, 3), i, np.uint8)
        writer.add(f"picture{i}", original, {"grey": np.eye(8)}, [NewEdit("grey", 1.0, 1.0, 1, original)])


@pytest.mark.slow
@pytest.mark.parametrize("edits", [False, True])
def test_two_processes_make_the_weights_of_one(tmp_path, edits):
    rng = np.random.default_rng(0)
    (tmp_path / "set" / "images").mkdir(parents=True)
    rows = ["image,x,y"]
    for i in range(16):
        name = f"picture{i}.png"
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(tmp_path / "set" / "images" / name)
        rows += [f"{name},{x:.1f},{y:.1f}" for x, y in rng.uniform((0, 0), (31, 23), (5, 2))]
    (tmp_path / "set" / "fixations.csv").write_text("\n".join(rows))
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "twin.py").write_text(METHOD)
    (tmp_path / "fit.py").write_text(FIT)
    if edits:
        write_edits(tmp_path / "edits")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for start, out in (([], tmp_path / "one"), (torchrun, tmp_path / "two")):
        command = [sys.executable, *start, tmp_path / "fit.py", tmp_path, out]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    one, two = (checkpoint.read(tmp_path / n / "last.safetensors").tensors for n in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-6, msg=name)
