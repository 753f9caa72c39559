"""A random latent diffusion model of a megabyte, stored as Stable Diffusion 1.5 is."""

import json

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel

WIDTHS = (8, 16, 16, 16)
PROMPT = 16  # channels
SCHEDULE = {  # the scheduler that Stable Diffusion 1.5 comes with
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000, "set_alpha_to_one": False,
    "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
}  # fmt: skip
OLD_ATTENTION = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}


def write(folder):
    """Write the model to `folder`, the same weights on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _unet().save_pretrained(folder / "unet")
        _vae().save_pretrained(folder / "vae")
        _text_encoder().save_pretrained(folder / "text_encoder")
    _rename(folder / "vae/diffusion_pytorch_model.safetensors", _as_released_vae)
    _rename(folder / "text_encoder/model.safetensors", _as_released_text_encoder)
    _write_tokenizer(folder / "tokenizer")
    (folder / "scheduler").mkdir()
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULE))


def _unet():
    """The topology of SD 1.5 (four levels, twelve ResNet blocks in the decoder), few channels."""
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=WIDTHS, layers_per_block=2, cross_attention_dim=PROMPT,
        attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip


def _vae():
    return AutoencoderKL(
        block_out_channels=(4, 4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=2, layers_per_block=1, latent_channels=4,
    )  # fmt: skip


def _text_encoder():
    begin, end = len(_vocabulary()) - 2, len(_vocabulary()) - 1
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(_vocabulary()), hidden_size=PROMPT, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, bos_token_id=begin, eos_token_id=end, pad_token_id=end,
        )
    )  # fmt: skip


def _vocabulary():
    """Every byte within and at the end of a word, two pieces of "cat", and the two marks."""
    letters = sorted(ByteLevel.alphabet())
    return [*letters, *(f"{c}</w>" for c in letters), "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]


def _write_tokenizer(folder):
    folder.mkdir()
    marks = {"bos_token": "<|startoftext|>", **dict.fromkeys(("eos_token", "pad_token", "unk_token"), "<|endoftext|>")}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "errors": "replace", **marks}
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(_vocabulary())}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(marks))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _rename(path, renamed):
    save_file(renamed(load_file(path)), path, {"format": "pt"})


def _as_released_vae(tensors):
    """The names of the attention layers in 2022."""
    return {_old_name(name) if "attentions" in name else name: tensor for name, tensor in tensors.items()}


def _old_name(name):
    for new, old in OLD_ATTENTION.items():
        name = name.replace(new, old)
    return name


def _as_released_text_encoder(tensors):
    """One level deeper, with the positions' numbers among the weights."""
    deeper = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in tensors.items()}
    return {**deeper, "text_model.embeddings.position_ids": torch.arange(77)[None]}
