"""The table of costs, on a backbone of a toy's size."""

import pytest
import torch
from modules import part

TINY_UNET = {
    "sample_size": 8, "block_out_channels": (8, 16, 16, 16), "cross_attention_dim": 16, "attention_head_dim": 2,
    "norm_num_groups": 4,
}  # fmt: skip
TINY_VAE = {
    "block_out_channels": (4,) * 4, "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "norm_num_groups": 2, "layers_per_block": 1, "latent_channels": 4,
}  # fmt: skip
TINY_TEXT = {
    "vocab_size": 514,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def backbone():
    return part("full_size").random_backbone(
        TINY_UNET, TINY_VAE, TINY_TEXT | {"bos_token_id": 512, "eos_token_id": 513}
    )


def test_predicts_what_the_network_predicts(backbone):
    full_size = part("full_size")
    network = part("network").ReadoutNetwork(backbone.channels, backbone.embedding, steps=6).eval()
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    clock = full_size.Clock("cpu")
    with torch.inference_mode():
        logits = full_size.predict(backbone, network, images, clock)
        features = part("features")
        latents, prompts = backbone.encode(images), backbone.embed_prompts([""])
        steps = features.invert(backbone, latents, prompts, features.ddim_timesteps(backbone, 6))
        expected = network((s.features, backbone.embed_timestep(s.timestep, 1)) for s in steps).logits
    torch.testing.assert_close(logits, expected)
    assert clock.seconds["aggregation"] > 0


def test_the_table(backbone):
    table = part("full_size").report(backbone, 1)
    assert "| extra time for extraction" in table
    assert "TFLOP/s" in table


def test_the_configuration_is_that_of_stable_diffusion():
    """The number of parameters of its published parts."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    full_size = part("full_size")
    with torch.device("meta"):
        parts = UNet2DConditionModel(**full_size.UNET), AutoencoderKL(**full_size.VAE)
    assert [sum(p.numel() for p in m.parameters()) for m in parts] == [859_520_964, 83_653_863]


def test_the_table_of_edits(backbone):
    table = part("full_size").edit_report(backbone, "contrast", 1)
    assert "| a plain reconstruction" in table
    assert "| one edit" in table
    assert "| 3 edits, constrained, at the first attempt" in table
    assert "| peak memory" in table
