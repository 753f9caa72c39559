"""Train a small latent diffusion model from scratch on photographs, for when Stable Diffusion is too large.

    ls $SALBENCH_DATA/OSIE/data/stimuli/*.jpg | awk -F/ '{n = $NF + 0} n % 7 > 1' > pictures.txt  # of osie_train alone
    python methods/diffusion_readout/train_backbone.py @pictures.txt FOLDER_OF_MORE --out small_backbone
    salbench fit --methods diffusion_readout --dataset osie_train --backbone small_backbone

With `--vae-steps 0 --unet-steps 0` the weights stay random, which is a control.

The topology is that of Stable Diffusion 1.5 (Rombach et al. 2022) at a tenth of the width: an autoencoder with four
latent channels, a U-Net of four levels with twelve ResNet blocks in its decoder and attention at three levels, and
CLIP's text encoder. Photographs have no captions, so all training uses the empty prompt: the text encoder is random,
tiny and frozen, and its tokenizer knows single bytes only. The model learns from the given pictures alone; do not
include test images.

Training has two stages. First the autoencoder learns to reconstruct random crops, with L1 losses at three scales and a
small KL divergence. There is no adversarial or perceptual loss, so fine texture is lost. Then several crops of every
picture are encoded once, and the U-Net learns to predict the noise in them (Ho et al. 2020, equation 14) on Stable
Diffusion's noise schedule. A moving average of the weights is kept. The default recipe takes about an hour on two
cores. The same pictures, recipe, seed, machine and number of threads give the same weights, even if the training was
killed and resumed.
"""

import argparse
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from salbench.checks import check_device
from salbench.files import IMAGE_SUFFIXES, FileProblem, hash_bytes, hash_file, read_image
from salbench.identity import Identity
from salbench.training import TrainingProblem, checkpoint
from salbench.training.checkpoint import Checkpoint, Record
from salbench.training.loop import hash_to_int
from salbench.writing import atomic_write

log = logging.getLogger(__name__)
PROMPT = 32  # channels of the text encoder
TOKENS = 77  # in a prompt
GROUPS = 8  # in every group norm
TIMESTEPS = 1000
KL = 1e-4  # weight of the KL divergence per latent
HELD_OUT = 20  # pictures, at most
MEASURED = 50  # batches of held-out noise predictions
WARMUP = 100  # steps
SAVE_EVERY = 100  # steps
REMEDY = "Choose another --out, or remove the folder."
START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """How a backbone is built and trained.

    Attributes:
        size: height and width of the training images in pixels, a multiple of `multiple`.
        vae_widths: channels of the autoencoder's levels; each level but the first halves the resolution.
        unet_widths: channels of the U-Net's four levels.
        heads: attention heads of the U-Net's four levels.
        vae_steps: training steps of the autoencoder; 0 keeps random weights.
        vae_batch_size: crops per step. They have half of `size` at the same scale, because the autoencoder only looks
            at small neighbourhoods.
        vae_rate: peak learning rate of the autoencoder.
        unet_steps: training steps of the U-Net; 0 keeps random weights.
        unet_batch_size: crops per step, of full size.
        unet_rate: peak learning rate of the U-Net.
        views: the U-Net is trained on this many crops of every picture.
        average: decay per step of the moving average of the weights.

    Raises:
        ValueError: the size is not a multiple, steps are negative, or another number is below one.
    """

    size: int = 128
    vae_widths: tuple[int, ...] = (16, 32, 64)
    unet_widths: tuple[int, int, int, int] = (32, 64, 96, 96)
    heads: tuple[int, int, int, int] = (1, 2, 4, 4)
    vae_steps: int = 4000
    vae_batch_size: int = 8
    vae_rate: float = 1e-3
    unet_steps: int = 3000
    unet_batch_size: int = 12
    unet_rate: float = 6e-4
    views: int = 16
    average: float = 0.998

    def __post_init__(self) -> None:
        for name in ("size", "vae_steps", "vae_batch_size", "unet_steps", "unet_batch_size", "views"):
            least = 0 if name.endswith("_steps") else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)}")
        if self.size % self.multiple:
            raise ValueError(f"size: expected a multiple of {self.multiple} pixels, got {self.size}")

    @property
    def factor(self) -> int:
        """Pixels per cell of the latents, along each side."""
        return 2 ** (len(self.vae_widths) - 1)

    @property
    def multiple(self) -> int:
        """Sides of images must be multiples of this, so every level of autoencoder and U-Net can halve them."""
        return self.factor * 2 ** (len(self.unet_widths) - 1)


def train(
    places: Iterable[Path | str], out: Path | str, recipe: Recipe, *, seed: int = 0, device: str = "cpu"
) -> dict[str, Any]:
    """Train a backbone and write it in diffusers' layout, in half precision.

    Args:
        places: pictures and folders of pictures. Unreadable pictures are skipped with a warning. Up to twenty pictures,
            at most half, are held out to measure the result.
        out: folder. A training of the same pictures, recipe and seed that was stopped there resumes.
        recipe: how to train.
        seed: random seed.
        device: torch device.

    Returns:
        The content of `training.json` in the folder: "n_pictures"; "n_unreadable"; "identity"; "vae" with "parameters"
        (number), "losses" (mean of every hundred steps) and "psnr" of held-out pictures in dB; "unet" with
        "parameters", "losses" and "held_out_loss", the error of the predicted noise.

    Raises:
        ValueError: a path does not exist, or fewer than two pictures are readable.
        TrainingProblem: the folder holds another training, or a loss is not finite.
    """
    check_device(device)
    pictures, facts = _read(_paths(places), 2 * recipe.size)
    identity = Identity({"recipe": asdict(recipe), "seed": seed, "pictures": facts.pop("content")})
    return _Training(pictures, Path(out), recipe, identity, device).run(facts)


def _paths(places: Iterable[Path | str]) -> list[Path]:
    paths = []
    for place in map(Path, places):
        if not place.exists():
            raise ValueError(f"{place}: expected a picture or a folder of pictures, found nothing")
        is_folder = place.is_dir()
        paths += sorted(p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if is_folder else [place]
    return paths


def _read(paths: Iterable[Path], side: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Pictures, uint8 (N, side, side, 3), stretched to squares as for prediction; and facts about them."""
    pictures, hashes, n_unreadable = [], [], 0
    for path in tqdm(paths, "reading", unit="picture"):
        try:
            picture = Image.fromarray(read_image(path))
        except FileProblem as error:
            log.warning("skipped: %s", error)
            n_unreadable += 1
            continue
        pictures.append(np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)))
        hashes.append(hash_file(path))
    if len(pictures) < 2:
        raise ValueError(f"expected at least two readable pictures, got {len(pictures)}; give files or folders of them")
    facts = {"n_pictures": len(pictures), "n_unreadable": n_unreadable, "content": hash_bytes(*hashes)}
    return np.stack(pictures), facts


class _Training:
    """Both stages of a training and its folder."""

    def __init__(self, pictures: np.ndarray, out: Path, recipe: Recipe, identity: Identity, device: str) -> None:
        self.out, self.state, self.recipe, self.identity, self.device = out, out / "state", recipe, identity, device
        every = max(2, math.ceil(len(pictures) / HELD_OUT))
        is_held_out = np.arange(len(pictures)) % every == every - 1
        self.held_out, self.pictures = pictures[is_held_out], pictures[~is_held_out]
        self._seed("weights")
        self.vae, self.unet, self.text_encoder = _vae(recipe), _unet(recipe), _text_encoder()
        _freeze(self.text_encoder)
        self.scheduler = DDIMScheduler(  # the settings of Stable Diffusion 1.5
            num_train_timesteps=TIMESTEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        )  # fmt: skip

    def run(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Train and write the backbone; see `train` for the result."""
        finished = self.out / "training.json"
        if finished.exists():
            facts = json.loads(finished.read_bytes())
            self._check_same(Identity(facts["identity"]))
            log.info("%s is finished", self.out)
            return facts
        facts |= {"vae": self._train_vae(), "unet": self._train_unet(), "identity": self.identity.facts}
        self._write()
        with atomic_write(finished) as file:
            file.write(json.dumps(facts, indent=2) + "\n")
        shutil.rmtree(self.state)
        return facts

    def _train_vae(self) -> dict[str, Any]:
        recipe = self.recipe
        losses = self._fit("vae", self.vae, self._vae_loss, recipe.vae_steps, recipe.vae_rate)
        with torch.no_grad():
            pixels = _pixels([_whole(picture) for picture in self.held_out]).to(self.device)
            errors = [mse_loss(self.vae(one[None]).sample.clamp(-1, 1), one[None]).item() / 4 for one in pixels]
        psnr = float(np.mean([-10 * math.log10(error) for error in errors]))
        log.info("autoencoder: PSNR %.2f dB on %d held-out pictures", psnr, len(errors))
        return {"parameters": _parameters(self.vae), "psnr": psnr, "losses": losses}

    def _vae_loss(self) -> torch.Tensor:
        chosen = torch.randint(len(self.pictures), (self.recipe.vae_batch_size,))
        pixels = _pixels([_crop(self.pictures[i], self.recipe.size // 2) for i in chosen]).to(self.device)
        posterior = self.vae.encode(pixels).latent_dist
        made = self.vae.decode(posterior.sample()).sample
        loss = KL * posterior.kl().mean() / posterior.mean[0].numel()
        for scale in (1, 2, 4):
            loss = loss + l1_loss(avg_pool2d(made, scale), avg_pool2d(pixels, scale))
        return loss

    def _train_unet(self) -> dict[str, Any]:
        recipe, (latents, held_out) = self.recipe, self._latents()
        scale = 1 / latents.std().item()
        self.vae.register_to_config(scaling_factor=scale)
        latents, held_out, prompt = latents * scale, held_out * scale, _empty_prompt(self.text_encoder).to(self.device)

        def loss_on(latents: torch.Tensor, number: int) -> torch.Tensor:
            return self._unet_loss(latents[torch.randint(len(latents), (number,))], prompt)

        batch = recipe.unet_batch_size
        losses = self._fit("unet", self.unet, lambda: loss_on(latents, batch), recipe.unet_steps, recipe.unet_rate)
        self._seed("held out")
        with torch.no_grad():
            held_out_loss = float(np.mean([loss_on(held_out, batch).item() for _ in range(MEASURED)]))
        log.info("U-Net: loss %.4f on held-out pictures", held_out_loss)
        return {"parameters": _parameters(self.unet), "held_out_loss": held_out_loss, "losses": losses}

    def _unet_loss(self, clean: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the noise predicted in latents; predicting zero has an error of 1."""
        noise, timesteps = torch.randn_like(clean), torch.randint(TIMESTEPS, (len(clean),))
        noisy = self.scheduler.add_noise(clean, noise, timesteps).to(self.device)
        prompts = prompt.expand(len(clean), -1, -1)
        found = self.unet(noisy, timesteps.to(self.device), encoder_hidden_states=prompts).sample
        return mse_loss(found, noise.to(self.device))

    @torch.no_grad()
    def _latents(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of `views` crops of every picture, and of held-out pictures. They take minutes, so they are saved."""
        path = self.state / "latents.safetensors"
        if not path.exists():
            self._seed("views")
            numbers = tqdm(range(self.recipe.views * len(self.pictures)), "encoding", unit="crop")
            size, number = self.recipe.size, len(self.pictures)
            crops = self._encode(_crop(self.pictures[i % number], size) for i in numbers)
            tensors = {"crops": crops, "held_out": self._encode(map(_whole, self.held_out))}
            checkpoint.save(path, tensors, Record(self.identity))
        tensors = self._resumed(path).tensors
        return tensors["crops"], tensors["held_out"]

    def _encode(self, images: Iterable[np.ndarray]) -> torch.Tensor:
        return torch.cat([self.vae.encode(_pixels([i]).to(self.device)).latent_dist.mean.cpu() for i in images])

    def _fit(
        self,
        name: str,
        network: torch.nn.Module,
        loss_of_batch: Callable[[], torch.Tensor],
        steps: int,
        rate: float,
    ) -> list[float]:
        """Train a network and return its mean losses. The network ends as it is stored: averaged, rounded, frozen."""
        network.to(self.device, memory_format=torch.channels_last).train()
        fit = _Fit(network, steps, rate, self.recipe.average)
        path = self.state / f"{name}.safetensors"
        if path.exists():
            fit.resume(self._resumed(path), path)
        losses = []
        for step in (bar := tqdm(range(fit.step, steps), name, steps, initial=fit.step, unit="step")):
            self._seed(name, step)
            losses.append(fit.train_on(loss_of_batch()))
            bar.set_postfix(loss=f"{np.mean(losses):.4f}")
            if fit.step % SAVE_EVERY == 0 or fit.step == steps:
                fit.losses.append(float(np.mean(losses)))
                checkpoint.save(path, *fit.state(self.identity))
                losses = []
        network.load_state_dict(fit.average)
        _freeze(network)
        return fit.losses

    def _seed(self, *of: object) -> None:
        """Make the next random numbers depend only on the seed and on `of`; so they are the same after a resume."""
        torch.manual_seed(hash_to_int(self.identity["seed"], *of))

    def _resumed(self, path: Path) -> Checkpoint:
        """A saved state of this same training."""
        saved = checkpoint.read(path)
        self._check_same(saved.record.identity)
        return saved

    def _check_same(self, found: Identity) -> None:
        self.identity.require_same(found, self.out, REMEDY, TrainingProblem)

    def _write(self) -> None:
        networks = {"vae": self.vae, "unet": self.unet, "text_encoder": self.text_encoder}
        for name, network in networks.items():
            network.half().to("cpu", memory_format=torch.contiguous_format).save_pretrained(self.out / name)
        self.scheduler.save_pretrained(self.out / "scheduler")
        _write_tokenizer(self.out / "tokenizer")
        n_bytes = sum(path.stat().st_size for name in networks for path in (self.out / name).iterdir())
        millions = sum(map(_parameters, networks.values())) / 1e6
        log.info("%s: %.2f M parameters, %.1f MB", self.out, millions, n_bytes / 1e6)


class _Fit:
    """Trains a network with AdamW, linear warm-up and cosine decay to zero; keeps a moving average of the weights."""

    def __init__(self, network: torch.nn.Module, steps: int, rate: float, decay: float) -> None:
        self.network, self.steps, self.rate, self.decay = network, steps, rate, decay
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
        self.average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.step, self.losses = 0, []

    def train_on(self, loss: torch.Tensor) -> float:
        """Take one step and return the loss. Raises `TrainingProblem` if the loss is not finite."""
        if not math.isfinite(loss.item()):
            raise TrainingProblem(f"the loss is {loss.item()} at step {self.step + 1}; lower the learning rate")
        warm = min(1.0, (self.step + 1) / WARMUP)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(
            self.decay, (1 + self.step) / (10 + self.step)
        )  # a short average at first, while weights are still random
        for name, tensor in self.network.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)
        return loss.item()

    def state(self, identity: Identity) -> tuple[dict[str, torch.Tensor], Record]:
        """Tensors and record of a checkpoint."""
        tensors = {f"average.{n}": t for n, t in self.average.items()}
        tensors |= {f"network.{n}": t for n, t in self.network.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{n}": t for n, t in state.items()}
        return tensors, Record(identity, self.step, tuple({"loss": loss} for loss in self.losses))

    def resume(self, saved: Checkpoint, path: Path) -> None:
        """Continue from a checkpoint that was read from `path`."""
        checkpoint.load_into(self.network, saved.part("network"), path)
        for name, tensor in saved.part("average").items():
            self.average[name].copy_(tensor)
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in saved.part("optimizer").items():
            i, _, entry = name.partition(".")
            states.setdefault(int(i), {})[entry] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        self.step, self.losses = saved.record.step, [row["loss"] for row in saved.record.history]


def _whole(picture: np.ndarray) -> np.ndarray:
    """A picture at half its height and width."""
    side = picture.shape[0] // 2
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


def _crop(picture: np.ndarray, side: int) -> np.ndarray:
    """A random square of a picture, shrunk by a random factor of 1 to 2 to `side` pixels; half are mirrored."""
    shrink, x, y, flip = torch.rand(4).tolist()
    extent = side * (1 + shrink)
    left, top = x * (len(picture) - extent), y * (len(picture) - extent)
    box = left, top, left + extent, top + extent
    crop = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR, box))
    return crop[:, ::-1] if flip < 0.5 else crop


def _pixels(images: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack uint8 images (H, W, 3) to float32 (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _freeze(network: torch.nn.Module) -> None:
    """Round weights to half precision, as stored, so all later stages and measurements use the stored weights."""
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})
    network.requires_grad_(False).eval()


def _parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _vae(recipe: Recipe) -> AutoencoderKL:
    levels = len(recipe.vae_widths)
    vae = AutoencoderKL(
        sample_size=recipe.size, block_out_channels=recipe.vae_widths, latent_channels=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=GROUPS,
    )  # fmt: skip
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            # With torch's default initialisation all four latents learn brightness and none learns colour.
            torch.nn.init.orthogonal_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return vae


def _unet(recipe: Recipe) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=recipe.size // recipe.factor, block_out_channels=recipe.unet_widths, layers_per_block=2,
        attention_head_dim=recipe.heads, cross_attention_dim=PROMPT, norm_num_groups=GROUPS,
    )  # fmt: skip


def _text_encoder() -> CLIPTextModel:
    vocabulary = _vocabulary()
    start, end = vocabulary.index(START), vocabulary.index(END)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary), hidden_size=PROMPT, intermediate_size=2 * PROMPT, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=TOKENS, bos_token_id=start, eos_token_id=end,
            pad_token_id=end,
        )
    )  # fmt: skip


def _empty_prompt(text_encoder: CLIPTextModel) -> torch.Tensor:
    """The embedding (1, 77, 32) of the empty prompt."""
    vocabulary = _vocabulary()
    tokens = [vocabulary.index(START)] + [vocabulary.index(END)] * (TOKENS - 1)
    return text_encoder(torch.tensor([tokens])).last_hidden_state


def _vocabulary() -> list[str]:
    """Every byte within a word, every byte at the end of a word, and the marks of start and end."""
    letters = sorted(ByteLevel.alphabet())
    return [*letters, *(f"{letter}</w>" for letter in letters), START, END]


def _write_tokenizer(folder: Path) -> None:
    marks = {"bos_token": START, **dict.fromkeys(("eos_token", "pad_token", "unk_token"), END)}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS, "errors": "replace", **marks}
    files = {
        "vocab.json": json.dumps({piece: i for i, piece in enumerate(_vocabulary())}),
        "merges.txt": "#version: 0.2\n",
        "special_tokens_map.json": json.dumps(marks),
        "tokenizer_config.json": json.dumps(settings),
    }
    for name, text in files.items():
        with atomic_write(folder / name) as file:
            file.write(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Bad input prints the reason and exits with status 2."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], fromfile_prefix_chars="@")
    parser.add_argument(
        "pictures", nargs="+", help="pictures, folders of pictures, or @FILE with one of these per line"
    )
    parser.add_argument("--out", required=True, help="folder to write; a stopped training in it resumes")
    for name in ("size", "vae_steps", "unet_steps"):
        default = getattr(Recipe, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        recipe = Recipe(size=given.size, vae_steps=given.vae_steps, unet_steps=given.unet_steps)
        train(given.pictures, given.out, recipe, seed=given.seed, device=given.device)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
