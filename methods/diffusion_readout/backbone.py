"""The frozen latent diffusion model: features come from its U-Net."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import safe_open
from transformers import CLIPTextModel, CLIPTokenizerFast
from transformers.utils import logging

from salbench.files import hash_bytes, hash_file
from salbench.registry import MethodUnavailable

STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"  # v1.5, as in the paper
FILES = (
    "scheduler/scheduler_config.json",
    "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/tokenizer_config.json",
    "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
)  # fmt: skip
VOCABULARY = ("tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/vocab.json")
logging.disable_progress_bar()  # bars for loading would clutter those of the actual work
VOCABULARY_IN_ONE = "tokenizer/tokenizer.json"  # newer releases of transformers write this file, and prefer it
_FEW_CHANNELS = 640  # Stable Diffusion has up to 1280, the small backbone 96
PATTERNS = ("*/*.json", "tokenizer/*.txt", "text_encoder/model.safetensors", "*/diffusion_pytorch_model.safetensors")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen model of the Stable Diffusion family.

    Latents, noise and time embeddings are always float32. Prompts and features have the dtype of the networks.

    Attributes:
        folder: where it was loaded from.
        vae: the autoencoder. Only editing uses its decoder, a twentieth of all parameters.
        unet: the denoising U-Net.
        text_encoder: CLIP's text encoder.
        tokenizer: CLIP's tokenizer.
        scheduler: diffusers' `DDIMScheduler` with the noise schedule that the U-Net was trained on.
    """

    folder: Path
    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    @classmethod
    def load(cls, place: Path | str = STABLE_DIFFUSION, device: torch.device | str = "cpu") -> Backbone:
        """Load a backbone. It runs in float32 on a CPU and in bfloat16 on a GPU (float16 if the GPU lacks bfloat16).

        Args:
            place: a folder in diffusers' layout, or an id on the Hugging Face hub, which is downloaded unless it is in
                the local cache. Weights are read from safetensors files only.
            device: torch device.

        Raises:
            MethodUnavailable: the backbone or one of its files is missing; the message says how to fetch it.
            ValueError: a file is damaged, or the parts do not form a model of this family.
        """
        folder = _find(place)
        for name in _names(folder):
            _check_readable(folder / name)
        dtype = _dtype(torch.device(device))
        networks = {
            "vae": _network(AutoencoderKL, folder / "vae", torch_dtype=dtype),
            "unet": _network(UNet2DConditionModel, folder / "unet", torch_dtype=dtype),
            "text_encoder": _network(CLIPTextModel, folder / "text_encoder", dtype=dtype),
        }
        schedule = _loaded(DDIMScheduler.load_config, folder / "scheduler")
        backbone = cls(
            folder=folder,
            tokenizer=_loaded(CLIPTokenizerFast.from_pretrained, folder / "tokenizer"),
            scheduler=DDIMScheduler.from_config(schedule),
            **{name: part.to(device).requires_grad_(False).eval() for name, part in networks.items()},
        )
        backbone._check_fits()
        return backbone

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.unet.conv_in.weight.device  # unet.device visits all parameters, which takes milliseconds

    @property
    def dtype(self) -> torch.dtype:
        """The type that the networks run in."""
        return self.unet.conv_in.weight.dtype

    @property
    def channels(self) -> list[int]:
        """Channels of the decoder's ResNet blocks, in running order (SD 1.5: 1280 x 6, 640 x 3, 320 x 3)."""
        return [resnet.conv2.out_channels for block in self.unet.up_blocks for resnet in block.resnets]

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Inside this context, torch has one thread if the backbone is small, whose operations a second one slows down.

        The number of threads belongs to the whole process, so only one thread of Python at a time should be inside.
        """
        threads = torch.get_num_threads()
        if max(self.channels) < _FEW_CHANNELS:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    @property
    def embedding(self) -> int:
        """Length of the time embedding (SD 1.5: 1280)."""
        return self.unet.time_embedding.linear_2.out_features

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of the images that the model was trained on (SD 1.5: 512 x 512)."""
        side = self.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1)
        return side, side

    @property
    def multiple(self) -> int:
        """Heights and widths of images must be multiples of this number of pixels (SD 1.5: 64)."""
        halvings = len(self.vae.config.block_out_channels) + len(self.unet.config.block_out_channels) - 2
        return 2**halvings

    def file_hashes(self) -> dict[str, str]:
        """{file: hash} of all files that features depend on, the same for a folder and for the hub's cache."""
        return {name: hash_file(self.folder / name) for name in _names(self.folder)}

    @cached_property
    def hash(self) -> str:
        """16 hex digits of `file_hashes()`. The 4 GB of SD 1.5 take some seconds, once."""
        return hash_bytes(*(part for pair in self.file_hashes().items() for part in pair))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images as latents, scaled as the U-Net expects.

        Latents are the mean of the posterior (the released code samples it) for pixels in [-1, 1] (the released code
        uses [0, 1] in training and [-1, 1] afterwards).

        Args:
            images: uint8 (B, H, W, 3) RGB; H and W are multiples of `multiple`.

        Returns:
            float32 (B, 4, H / f, W / f); f is the autoencoder's factor (SD 1.5: 8).

        Raises:
            ValueError: type, shape or size of the images is wrong.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != torch.uint8:
            raise ValueError(f"images: expected uint8 (B, H, W, 3), got {images.dtype} {tuple(images.shape)}")
        height, width = images.shape[1:3]
        if height % self.multiple or width % self.multiple or not images.numel():
            raise ValueError(
                f"images: expected height and width to be multiples of {self.multiple}, got {height} x {width}; resize"
            )
        pixels = images.to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean = self.vae.encode(pixels.to(self.dtype)).latent_dist.mean.float()
        return (mean - (self.vae.config.shift_factor or 0)) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decode latents (B, 4, h, w), as `encode` returns them, to pixels: float32 (B, 3, H, W), about -1 to 1.

        Raises:
            ValueError: pixels are NaN or infinite, which can happen in half precision.
        """
        scaled = latents / self.vae.config.scaling_factor + (self.vae.config.shift_factor or 0)
        pixels = self.vae.decode(scaled.to(self.dtype)).sample.float()
        if not pixels.isfinite().all():
            raise ValueError("the decoded image has NaN or infinite values; edit in float32, with --device cpu")
        return pixels

    def embed_prompts(self, captions: Sequence[str]) -> torch.Tensor:
        """Last hidden state of the text encoder, (B, 77, D) of `dtype`.

        Args:
            captions: "" is the empty prompt; captions are cut at 77 tokens.

        Raises:
            ValueError: captions are not a list of str.
        """
        if isinstance(captions, str) or not all(isinstance(caption, str) for caption in captions):
            raise ValueError(f'captions: expected a list of str, with "" for none, got {captions!r}')
        if not any(captions):
            return self._empty_prompt.expand(len(captions), -1, -1)
        return self._embed(captions)

    @cached_property
    def _empty_prompt(self) -> torch.Tensor:
        return self._embed([""])

    def _embed(self, captions: Sequence[str]) -> torch.Tensor:
        padding = {"padding": "max_length", "truncation": True, "max_length": self._length}
        tokens = self.tokenizer(list(captions), return_tensors="pt", **padding).input_ids
        return self.text_encoder(tokens.to(self.device)).last_hidden_state

    @property
    def _length(self) -> int:
        return self.text_encoder.config.max_position_embeddings

    def tokenize(self, caption: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Split a caption into tokens, as many as fit in a prompt.

        Returns:
            Token ids without the marks of start and end, and for each token the (start, end) of its characters.
        """
        options = {"add_special_tokens": False, "truncation": True, "max_length": self._length - 2}
        tokens = self.tokenizer(caption, return_offsets_mapping=True, **options)
        return list(tokens.input_ids), [tuple(span) for span in tokens.offset_mapping]

    def embed_tokens(self, ids: Sequence[int]) -> torch.Tensor:
        """The embedding (1, 77, D) of a prompt with these token ids; ids that do not fit are dropped."""
        marks = self.tokenizer
        ids = [marks.bos_token_id, *ids[: self._length - 2], marks.eos_token_id]
        ids += [marks.pad_token_id] * (self._length - len(ids))
        return self.text_encoder(torch.tensor([ids], device=self.device)).last_hidden_state

    def embed_timestep(self, timestep: int, batch: int) -> torch.Tensor:
        """The U-Net's own embedding of a diffusion timestep, float32 (batch, E), the same in every row.

        The released code embeds a step counter from 5 to 0 instead.
        """
        sinusoids = self.unet.time_proj(torch.full((1,), timestep, device=self.device))
        return self.unet.time_embedding(sinusoids.to(self.dtype)).float().expand(batch, -1)

    def _check_fits(self) -> None:
        """Raise `ValueError` unless the U-Net fits the autoencoder and the text encoder."""
        takes = self.unet.config.in_channels, self.unet.config.cross_attention_dim
        given = self.vae.config.latent_channels, self.text_encoder.config.hidden_size
        if takes != given:
            raise ValueError(
                f"{self.folder}: expected a text-to-image model like Stable Diffusion 1 or 2, whose U-Net takes "
                f"latents and prompts of {given[0]} and {given[1]} channels, got one for {takes[0]} and {takes[1]}"
            )


def _find(place: Path | str) -> Path:
    """The complete folder of a backbone. Raises `MethodUnavailable`."""
    folder = Path(place).expanduser()
    if folder.is_dir():
        missing = _missing(folder)
        if missing:
            command = f"{_command(STABLE_DIFFUSION)} --local-dir {folder}"
            raise MethodUnavailable(
                f"needs a complete backbone, {folder} lacks {missing[0]}; fetch one with: {command}"
            )
        return folder
    try:
        return _snapshot(str(place))
    except HFValidationError as error:
        command = _command(STABLE_DIFFUSION)
        raise MethodUnavailable(f"needs a backbone, {place} is no folder; fetch one with: {command}") from error
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise MethodUnavailable(
            f"needs the backbone {place}: it is no folder, and the Hugging Face hub failed ({reason}); "
            f"fetch it with: {_command(place)}"
        ) from error


def _snapshot(repository: str) -> Path:
    """The complete folder of a backbone in the hub's cache; missing files are downloaded."""
    try:
        folder = Path(snapshot_download(repository, allow_patterns=PATTERNS, local_files_only=True))
    except FileNotFoundError:
        folder = None
    if folder is None or _missing(folder):
        folder = Path(snapshot_download(repository, allow_patterns=PATTERNS))
    if _missing(folder):
        raise FileNotFoundError(f"it lacks {_missing(folder)[0]}")
    return folder


def _command(repository: Path | str) -> str:
    """The shell command that downloads a backbone."""
    return " --include ".join([f"hf download {repository}", *(f'"{pattern}"' for pattern in PATTERNS)])


def _names(folder: Path) -> list[str]:
    """The files of a backbone that are read."""
    return sorted(FILES + ((VOCABULARY_IN_ONE,) if (folder / VOCABULARY_IN_ONE).exists() else VOCABULARY))


def _missing(folder: Path) -> list[str]:
    return [name for name in _names(folder) if not (folder / name).exists()]


def _check_readable(path: Path) -> None:
    """Raise `ValueError` if a JSON or safetensors file is damaged. The actual loaders often do not name the file."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                pass
    except Exception as error:  # the error of safetensors is no ValueError
        raise ValueError(f"{path}: damaged, fetch it again: {error}") from error


def _loaded(load: Callable[..., Any], path: Path, **options: Any) -> Any:
    """Call `load(path)` without network access; any error becomes a `ValueError` that names the folder."""
    try:
        return load(path, local_files_only=True, **options)
    except Exception as error:
        raise ValueError(f"{path}: cannot be loaded, fetch it again: {error}") from error


def _network(cls: Any, path: Path, **dtype: torch.dtype) -> Any:
    """Load a network. Raises `ValueError` if the file lacks weights, because those would stay random."""
    network, report = _loaded(cls.from_pretrained, path, use_safetensors=True, output_loading_info=True, **dtype)
    if report["missing_keys"]:
        names = sorted(report["missing_keys"])
        raise ValueError(f"{path}: expected all weights of a {cls.__name__}, {len(names)} are missing: {names[0]}, ...")
    return network


def _dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
