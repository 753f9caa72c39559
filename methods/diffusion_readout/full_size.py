"""Measures time, memory and operations of a prediction or an edit at the size of Stable Diffusion v1.5.

    python methods/diffusion_readout/full_size.py [--edit contrast] [--device cuda] [--repeats 3]

Networks have SD 1.5's exact configuration but random weights, because the cost does not depend on the weights. The
tokenizer is that of the small backbone. Nothing is downloaded or written. On a CPU it takes minutes and 6 GB of memory.
Each part is timed separately; the device finishes one part before the next starts.
"""

import argparse
import importlib
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

from salbench import registry
from salbench.edits import EDIT_TYPES

UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}  # the rest: diffusers' defaults
VAE = {
    "block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
}  # fmt: skip
TEXT_ENCODER = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 77,
}  # fmt: skip
TOKENIZER = Path(__file__).parent / "small_backbone" / "tokenizer"
STEPS = 6
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CAPTION, WORD, COLOR = "a red bus on a street", "bus", "purple"  # for the edits
ANYTHING = 1e6  # mean square of the readings: a band so wide that no edit leaves it


def random_backbone(
    unet: Mapping[str, Any] = UNET,
    vae: Mapping[str, Any] = VAE,
    text_encoder: Mapping[str, Any] = TEXT_ENCODER,
    device: str = "cpu",
) -> Any:
    """A `Backbone` with random weights and these configurations of its networks."""
    torch.manual_seed(0)
    dtype = torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16
    networks = {
        "unet": UNet2DConditionModel(**unet),
        "vae": AutoencoderKL(**vae),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**text_encoder)),
    }
    networks = {name: part.to(device, dtype).requires_grad_(False).eval() for name, part in networks.items()}
    backbone, tokenizer = _part("backbone").Backbone, CLIPTokenizerFast.from_pretrained(TOKENIZER)
    return backbone(folder=None, tokenizer=tokenizer, scheduler=DDIMScheduler(**SCHEDULE), **networks)


class Clock:
    """Adds up the seconds spent in named parts, and waits for the device before and after each."""

    def __init__(self, device: torch.device | str) -> None:
        self.device, self.seconds = torch.device(device), defaultdict(float)

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, add its time to a part, and return its result."""
        self._wait()
        start = time.perf_counter()
        result = function(*arguments)
        self._wait()
        self.seconds[name] += time.perf_counter() - start
        return result

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def predict(backbone: Any, network: nn.Module, images: torch.Tensor, clock: Clock) -> torch.Tensor:
    """Predict logits of images like the method does, and time the parts."""
    features = _part("features")
    latents = clock("encoder", backbone.encode, images)
    prompts = clock("text encoder", backbone.embed_prompts, [""] * len(images))
    inversion = features.invert(
        backbone, latents, prompts, features.ddim_timesteps(backbone, network.aggregation.steps)
    )

    def steps() -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
        while (step := clock("U-Net with extraction", next, inversion, None)) is not None:
            yield [layer.float() for layer in step.features], backbone.embed_timestep(step.timestep, len(images))

    high, low = clock("all until the maps", network.aggregation, steps())
    clock.seconds["aggregation"] = clock.seconds["all until the maps"] - clock.seconds["U-Net with extraction"]
    return clock("saliency readout", network.saliency, high, low)


def report(backbone: Any, repeats: int) -> str:
    """A Markdown table of the cost of a prediction."""
    network, images = _random_readouts(backbone), _random_image(backbone)
    with torch.inference_mode():
        latents = backbone.encode(images)
        with FlopCounterMode(display=False) as counter:  # this call also warms up
            predict(backbone, network, images, Clock(backbone.device))
        clock = Clock(backbone.device)
        for _ in range(repeats):
            predict(backbone, network, images, clock)
            prompts = backbone.embed_prompts([""])
            for _ in range(network.aggregation.steps):
                clock("U-Net alone", backbone.unet, latents.to(backbone.dtype), 0, prompts)
    return _table(backbone, network, {name: s / repeats for name, s in clock.seconds.items()}, counter)


def _table(backbone: Any, network: nn.Module, seconds: Mapping[str, float], counter: FlopCounterMode) -> str:
    parts = "encoder", "text encoder", "U-Net with extraction", "aggregation", "saliency readout"
    total = sum(seconds[part] for part in parts)
    readouts = (seconds["aggregation"] + seconds["saliency readout"]) / total
    extra = seconds["U-Net with extraction"] / seconds["U-Net alone"] - 1
    operations = counter.get_total_flops()
    rows = [[part, f"{seconds[part]:.3g} s"] for part in parts]
    rows += [
        ["one image", f"{total:.3g} s"],
        ["fraction of that in aggregation and saliency readout", f"{readouts:.1%}"],
        ["extra time for extraction, of the bare U-Net calls", f"{extra:+.1%}"],
        ["operations for one image", f"{operations / 1e12:.3g} TFLOP"],
        ["rate", f"{operations / total / 1e12:.3g} TFLOP/s"],
        ["peak memory", f"{_peak(backbone.device):.2f} GiB"],
        ["parameters: U-Net, autoencoder, text encoder", ", ".join(
            f"{_millions(p):.1f} M" for p in (backbone.unet, backbone.vae, backbone.text_encoder))],
        ["parameters trained: aggregation, all readouts", f"{_millions(network.aggregation):.1f} M, "
            f"{_millions(network) - _millions(network.aggregation):.1f} M"],
    ]  # fmt: skip
    return tabulate(rows, ["quantity", str(backbone.device)], tablefmt="github")


def edit_report(backbone: Any, type: str, repeats: int, strengths: Sequence[float] = (1.2, 1.5, 2.0)) -> str:
    """A Markdown table of the time of edits, with and without the constraint, and of a plain reconstruction.

    The edited region is a third of the height and of the width, and a word's map is injected. The band is so wide that
    every edit passes at the first attempt.
    """
    editor, regions, depth = _part("editor"), _part("regions"), _part("equations").LATENT_EDITS[type].depth
    network, images = _random_readouts(backbone), _random_image(backbone)
    for spread in (network.low_level.readings, network.low_level.truths):
        spread.mean_square.fill_(ANYTHING)
    word = regions.find(regions.words(backbone, CAPTION), WORD)
    change = editor.Change(type, COLOR if EDIT_TYPES[type].needs_color else None, word)
    clock, mask = Clock(backbone.device), torch.zeros(1, 1, *_latent_size(backbone), device=backbone.device)
    mask[..., : mask.shape[2] // 3, : mask.shape[3] // 3] = 1

    def edited(strengths: Sequence[float], network: nn.Module | None = None) -> list[Any]:
        of_backbone = editor.Editor(backbone, STEPS, network)
        return of_backbone.edit(of_backbone.invert(images, CAPTION), mask, change, strengths)

    _part("scaling").gamma(backbone)  # fitted here, once, so that no timing includes it
    for _ in range(repeats):
        clock("a plain reconstruction", _reconstructed, backbone, images, depth)
        clock("one edit", edited, strengths[:1])
        clock(f"{len(strengths)} edits", edited, strengths)
        clock(f"{len(strengths)} edits, constrained, at the first attempt", edited, strengths, network)
    plain = clock.seconds["a plain reconstruction"]
    rows = [[name, f"{s / repeats:.3g} s", f"{s / plain:.2f}"] for name, s in clock.seconds.items()]
    rows.append(["peak memory", f"{_peak(backbone.device):.2f} GiB", ""])
    return tabulate(rows, [f"{type}, {backbone.device}", "time", "relative to a reconstruction"], tablefmt="github")


@torch.inference_mode()
def _reconstructed(backbone: Any, images: torch.Tensor, depth: int) -> torch.Tensor:
    """Invert, go `depth` steps back and decode, with bare calls of the networks."""
    latents, prompts = backbone.encode(images).to(backbone.dtype), backbone.embed_prompts([CAPTION])
    for _ in range(STEPS + depth):
        backbone.unet(latents, 0, encoder_hidden_states=prompts)
    return backbone.decode(latents.float())


def _random_readouts(backbone: Any) -> nn.Module:
    network = _part("network").ReadoutNetwork(backbone.channels, backbone.embedding, steps=STEPS)
    return network.to(backbone.device).eval()


def _random_image(backbone: Any) -> torch.Tensor:
    return torch.randint(0, 256, (1, *backbone.image_size, 3), dtype=torch.uint8)


def _latent_size(backbone: Any) -> list[int]:
    factor = 2 ** (len(backbone.vae.config.block_out_channels) - 1)
    return [side // factor for side in backbone.image_size]


def _peak(device: torch.device) -> float:
    """Peak memory in GiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _millions(network: nn.Module) -> float:
    """Number of parameters in millions."""
    return sum(p.numel() for p in network.parameters()) / 1e6


def _part(name: str) -> ModuleType:
    """A module of this method, imported as the registry does."""
    return importlib.import_module(f"{registry.get(Path(__file__).parent.name).__module__}.{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--edit", choices=tuple(EDIT_TYPES), help="measure edits of this type instead of predictions")
    parser.add_argument(
        "--repeats", type=int, default=1, help="predictions to average, after one to warm up (default: 1)"
    )
    options = parser.parse_args()
    backbone = random_backbone(device=options.device)
    given = (backbone, options.edit) if options.edit else (backbone,)
    sys.stdout.write((edit_report if options.edit else report)(*given, options.repeats) + "\n")
