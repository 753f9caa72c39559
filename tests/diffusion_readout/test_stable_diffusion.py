"""The method with Stable Diffusion's topology and random weights, at a toy's size."""

from functools import cache

import numpy as np
import pytest
import torch
from modules import part

from salbench import registry
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.speed import sizes

UNET = {
    "sample_size": 8, "block_out_channels": (8, 16, 16, 16), "cross_attention_dim": 16, "attention_head_dim": 2,
    "norm_num_groups": 4,
}  # fmt: skip
VAE = {
    "block_out_channels": (4,) * 4, "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "norm_num_groups": 2, "layers_per_block": 1, "latent_channels": 4,
}  # fmt: skip
TEXT_ENCODER = {
    "vocab_size": 514, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "bos_token_id": 512, "eos_token_id": 513,
}  # fmt: skip
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
SAMPLE = Sample("random", (48, 64), lambda: IMAGE, caption="a red bus on a street")


@pytest.fixture(scope="module")
def sized():
    """A function of name, type of numbers and steps: the method, and what `at_size` returns, at a toy's size."""

    @cache
    def make(name, dtype, steps):
        with pytest.MonkeyPatch.context() as patch:
            for config, toy in {"UNET": UNET, "VAE": VAE, "TEXT_ENCODER": TEXT_ENCODER}.items():
                patch.setattr(part("stable_diffusion"), config, toy)
            method = registry.create(name, Runtime(init="random"))
            method.timesteps = steps
            return method, method.at_size("full", dtype)

    return lambda name="diffusion_readout", dtype="float32", steps=2: make(name, dtype, steps)


def test_the_configuration_is_that_of_stable_diffusion():
    """The number of parameters of its published parts."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    module = part("stable_diffusion")
    with torch.device("meta"):
        parts = (
            UNet2DConditionModel(**module.UNET),
            AutoencoderKL(**module.VAE),
            CLIPTextModel(CLIPTextConfig(**module.TEXT_ENCODER)),
        )
    assert [sum(p.numel() for p in m.parameters()) for m in parts] == [859_520_964, 83_653_863, 123_060_480]


def test_every_part_is_at_work(sized):
    """The weights of each part are read once, those of the U-Net and of the aggregation at each of two steps."""
    method, found = sized()
    counts = sizes.counted(lambda: method.predict(SAMPLE), found.parts)
    times = dict.fromkeys(found.parts, 1) | {"U-Net with extraction": 2, "aggregation": 2}
    for name, network in found.parts.items():
        operations, weights, _ = counts[name]
        assert operations > 0
        assert weights == pytest.approx(times[name] * sum(p.nbytes for p in network.parameters()), rel=0.01), name


def test_types_differ_by_rounding_only(sized):
    maps = [sized(dtype=dtype)[0].predict(SAMPLE) for dtype in ("float32", "bfloat16")]
    assert not np.array_equal(*maps)
    assert np.corrcoef(*map(np.ravel, maps))[0, 1] > 0.95


def test_edits_are_made(sized):
    """Constrained ones too, at the first attempt."""
    _, found = sized(dtype="bfloat16")
    assert [make(SAMPLE) for make in found.edits["contrast"].values()] == [0, 1, 3, 3]


@pytest.mark.parametrize(
    ("name", "steps", "types"),
    [
        ("diffusion_readout", 5, ["contrast", "color"]),
        ("diffusion_readout", 2, ["contrast"]),
        ("diffusion_readout_fast", 1, []),
    ],
)
def test_a_type_of_edit_needs_more_steps_than_it_undoes(sized, name, steps, types):
    _, found = sized(name, steps=steps)
    assert list(found.edits) == types
    if "color" in types:
        assert found.edits["color"]["one edit"](SAMPLE) == 1
