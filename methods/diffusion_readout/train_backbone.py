"""Train a small latent diffusion model from scratch on photographs: a backbone for where Stable Diffusion is too large.

    ls $SALBENCH_DATA/OSIE/data/stimuli/*.jpg | awk -F/ '{n = $NF + 0} n % 7 > 1' > pictures.txt  # of osie_train alone
    python methods/diffusion_readout/train_backbone.py @pictures.txt FOLDER_OF_MORE --out small_backbone
    python benchmark.py fit --methods diffusion_readout --dataset osie_train --backbone small_backbone

With `--vae-steps 0 --unet-steps 0` the weights stay random, for a control.
Its topology is that of Stable Diffusion 1.5 (Rombach et al. 2022) at a tenth of the width: an autoencoder with
four latent channels, a U-Net of four levels with twelve ResNet blocks in the decoder and attention at three
levels, CLIP's text encoder. Photographs have no captions, so all of them are trained with the empty prompt: the text
encoder is random, tiny and frozen, and its tokenizer knows single bytes only. The model knows nothing but the
pictures given; the images of a test must not be among them.

The training has two stages. The autoencoder learns to reconstruct random crops: L1 at three scales and a little KL
divergence, without adversary or perceptual loss, so that fine texture is lost. Then some crops of every picture are
encoded once, and the U-Net learns to find the noise in them (Ho et al. 2020, equation 14) on Stable Diffusion's
noise schedule. What is kept is a moving average of the weights. Steps are the time budget: the default recipe is
made for about an hour on two cores. Same pictures, recipe, seed, machine and threads, same weights, also where a
training was killed and goes on.
"""

import argparse
import json
import logging
import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn.functional import avg_pool2d, l1_loss, mse_loss
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel

from salbench.checks import check_device
from salbench.files import IMAGE_SUFFIXES, FileProblem, atomic_write, hash_bytes, hash_file, read_image
from salbench.training import TrainingProblem, checkpoint
from salbench.training.loop import hash_to_int

log = logging.getLogger(__name__)
PROMPT = 32  # channels of the text encoder
TOKENS = 77  # of a prompt
GROUPS = 8  # of every group norm
TIMESTEPS = 1000
KL = 1e-4  # weight, per latent
HELD_OUT = 20  # pictures
WARMUP = 100  # steps
SAVE_EVERY = 100  # steps
START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """How a backbone is built and trained.

    Attributes:
        size: height and width in pixels of the images trained on, a multiple of `multiple`.
        vae_widths: channels of the autoencoder's levels; each but the first halves the resolution.
        unet_widths, heads: channels and attention heads of the U-Net's four levels.
        vae_steps, vae_batch_size, vae_rate: of the first stage: steps (0: random weights), crops in each, peak
            learning rate. The crops are of half the size at the same scale, as the autoencoder looks at what is near
            only.
        unet_steps, unet_batch_size, unet_rate: of the second.
        views: crops of every picture that the U-Net is trained on.
        average: decay per step of the moving average of the weights.

    Raises:
        ValueError: a size that is no multiple, negative steps, or another number below one.
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

    def __post_init__(self):
        for name in ("size", "vae_steps", "vae_batch_size", "unet_steps", "unet_batch_size", "views"):
            least = 0 if name.endswith("_steps") else 1
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected {least} or more, got {getattr(self, name)}")
        if self.size % self.multiple:
            raise ValueError(f"size: expected a multiple of {self.multiple} pixels, got {self.size}")

    @property
    def factor(self):
        """Pixels per latent."""
        return 2 ** (len(self.vae_widths) - 1)

    @property
    def multiple(self):
        """Pixels that every level of autoencoder and U-Net can halve evenly."""
        return self.factor * 2 ** (len(self.unet_widths) - 1)


def train(places, out, recipe, *, seed=0, device="cpu"):
    """Train a backbone and write it in the layout of diffusers, in half precision.

    Args:
        places: paths of pictures and of folders of pictures; a picture that cannot be read is left out with a warning.
            Up to twenty of them, at most half, are held out to measure on.
        out: folder; a training of the same pictures, recipe and seed that was stopped there goes on.
        recipe: `Recipe`.
        seed, device: as named.

    Returns:
        What `training.json` in the folder tells: "n_pictures", "n_unreadable", "vae" and "unet" with "parameters" and
        mean "losses" of every hundred steps; "psnr" of held-out pictures in dB, "held_out_loss" of the noise in them.

    Raises:
        ValueError: a path that does not exist, or fewer than two readable pictures.
        TrainingProblem: the folder holds another training, or a loss is no number.
    """
    check_device(device)
    pictures, facts = _read(_paths(places), 2 * recipe.size)
    key = json.loads(json.dumps({"recipe": asdict(recipe), "seed": seed, "pictures": facts.pop("content")}))
    return _Training(pictures, Path(out), recipe, key, device).run(facts)


def _paths(places):
    paths = []
    for place in map(Path, places):
        if not place.exists():
            raise ValueError(f"{place}: expected a picture or a folder of pictures, there is no such file")
        is_folder = place.is_dir()
        paths += sorted(p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if is_folder else [place]
    return paths


def _read(paths, side):
    """(uint8 (N, side, side, 3), squeezed to squares as they are when a method uses the backbone; facts)."""
    pictures, hashes, n_unreadable = [], [], 0
    for path in tqdm(paths, "reading", unit="picture"):
        try:
            picture = Image.fromarray(read_image(path))
        except FileProblem as error:
            log.warning("left out: %s", error)
            n_unreadable += 1
            continue
        pictures.append(np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)))
        hashes.append(hash_file(path))
    if len(pictures) < 2:
        raise ValueError(f"expected at least two readable pictures, got {len(pictures)}; give files or folders of them")
    facts = {"n_pictures": len(pictures), "n_unreadable": n_unreadable, "content": hash_bytes(*hashes)}
    return np.stack(pictures), facts


class _Training:
    """The two stages, what comes between them, and the folder."""

    def __init__(self, pictures, out, recipe, key, device):
        self.out, self.state, self.recipe, self.key, self.device = out, out / "state", recipe, key, device
        every = max(2, math.ceil(len(pictures) / HELD_OUT))
        is_held_out = np.arange(len(pictures)) % every == every - 1
        self.held_out, self.pictures = pictures[is_held_out], pictures[~is_held_out]
        self._seed("weights")
        self.vae, self.unet, self.text_encoder = _vae(recipe), _unet(recipe), _text_encoder()
        _freeze(self.text_encoder)
        self.scheduler = DDIMScheduler(  # as Stable Diffusion 1.5 comes with
            num_train_timesteps=TIMESTEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        )  # fmt: skip

    def run(self, facts):
        finished = self.out / "training.json"
        if finished.exists():
            facts = json.loads(finished.read_bytes())
            self._check_key(facts["key"])
            log.info("%s is finished", self.out)
            return facts
        facts |= {"vae": self._train_vae(), "unet": self._train_unet(), "key": self.key}
        self._write()
        with atomic_write(finished) as file:
            file.write(json.dumps(facts, indent=2) + "\n")
        shutil.rmtree(self.state)
        return facts

    def _train_vae(self):
        recipe = self.recipe
        losses = self._fit("vae", self.vae, self._vae_loss, recipe.vae_steps, recipe.vae_rate)
        with torch.no_grad():
            pixels = _pixels([_whole(picture) for picture in self.held_out]).to(self.device)
            errors = [mse_loss(self.vae(one[None]).sample.clamp(-1, 1), one[None]).item() / 4 for one in pixels]
        psnr = float(np.mean([-10 * math.log10(error) for error in errors]))
        log.info("autoencoder: PSNR %.2f dB on %d held-out pictures", psnr, len(errors))
        return {"parameters": _parameters(self.vae), "psnr": psnr, "losses": losses}

    def _vae_loss(self):
        chosen = torch.randint(len(self.pictures), (self.recipe.vae_batch_size,))
        pixels = _pixels([_crop(self.pictures[i], self.recipe.size // 2) for i in chosen]).to(self.device)
        posterior = self.vae.encode(pixels).latent_dist
        made = self.vae.decode(posterior.sample()).sample
        loss = KL * posterior.kl().mean() / posterior.mean[0].numel()
        for scale in (1, 2, 4):
            loss = loss + l1_loss(avg_pool2d(made, scale), avg_pool2d(pixels, scale))
        return loss

    def _train_unet(self):
        recipe, (latents, held_out) = self.recipe, self._latents()
        scale = 1 / latents.std().item()
        self.vae.register_to_config(scaling_factor=scale)
        latents, held_out, prompt = latents * scale, held_out * scale, _empty_prompt(self.text_encoder).to(self.device)

        def loss_on(latents, number):
            return self._unet_loss(latents[torch.randint(len(latents), (number,))], prompt)

        batch = recipe.unet_batch_size
        losses = self._fit("unet", self.unet, lambda: loss_on(latents, batch), recipe.unet_steps, recipe.unet_rate)
        self._seed("held out")
        with torch.no_grad():
            held_out_loss = float(np.mean([loss_on(held_out, batch).item() for _ in range(50)]))
        log.info("U-Net: loss %.4f on held-out pictures", held_out_loss)
        return {"parameters": _parameters(self.unet), "held_out_loss": held_out_loss, "losses": losses}

    def _unet_loss(self, clean, prompt):
        """Mean squared error of the noise found in latents; finding none would cost 1."""
        noise, timesteps = torch.randn_like(clean), torch.randint(TIMESTEPS, (len(clean),))
        noisy = self.scheduler.add_noise(clean, noise, timesteps).to(self.device)
        prompts = prompt.expand(len(clean), -1, -1)
        found = self.unet(noisy, timesteps.to(self.device), encoder_hidden_states=prompts).sample
        return mse_loss(found, noise.to(self.device))

    @torch.no_grad()
    def _latents(self):
        """Of `views` crops of every picture, and of the held-out pictures; kept on disk, as they take minutes."""
        path = self.state / "latents.safetensors"
        if not path.exists():
            self._seed("views")
            numbers = tqdm(range(self.recipe.views * len(self.pictures)), "encoding", unit="crop")
            size, number = self.recipe.size, len(self.pictures)
            crops = self._encode(_crop(self.pictures[i % number], size) for i in numbers)
            tensors = {"crops": crops, "held_out": self._encode(map(_whole, self.held_out))}
            checkpoint.save(path, tensors, {"key": self.key})
        tensors, facts = checkpoint.load(path)
        self._check_key(facts["key"])
        return tensors["crops"], tensors["held_out"]

    def _encode(self, images):
        return torch.cat([self.vae.encode(_pixels([i]).to(self.device)).latent_dist.mean.cpu() for i in images])

    def _fit(self, name, network, loss_of_batch, steps, rate):
        """Train a network, which ends as it is stored: averaged, rounded, frozen. Returns the mean losses."""
        network.to(self.device, memory_format=torch.channels_last).train()
        fit = _Fit(network, steps, rate, self.recipe.average)
        path = self.state / f"{name}.safetensors"
        if path.exists():
            tensors, facts = checkpoint.load(path)
            self._check_key(facts["key"])
            fit.resume(tensors, facts, path)
        losses = []
        for step in (bar := tqdm(range(fit.step, steps), name, steps, initial=fit.step, unit="step")):
            self._seed(name, step)
            losses.append(fit.train_on(loss_of_batch()))
            bar.set_postfix(loss=f"{np.mean(losses):.4f}")
            if fit.step % SAVE_EVERY == 0 or fit.step == steps:
                fit.losses.append(float(np.mean(losses)))
                checkpoint.save(path, *fit.state(self.key))
                losses = []
        network.load_state_dict(fit.average)
        _freeze(network)
        return fit.losses

    def _seed(self, *of):
        """What is drawn next depends on the seed and on `of` alone, so that it is the same after a resume."""
        torch.manual_seed(hash_to_int(self.key["seed"], *of))

    def _check_key(self, key):
        other = [name for name in self.key if key.get(name) != self.key[name]]
        if other:
            raise TrainingProblem(
                f"{self.out}: holds a training with another {', '.join(other)}; choose another --out, or remove it"
            )

    def _write(self):
        networks = {"vae": self.vae, "unet": self.unet, "text_encoder": self.text_encoder}
        for name, network in networks.items():
            network.half().to("cpu", memory_format=torch.contiguous_format).save_pretrained(self.out / name)
        self.scheduler.save_pretrained(self.out / "scheduler")
        _write_tokenizer(self.out / "tokenizer")
        n_bytes = sum(path.stat().st_size for name in networks for path in (self.out / name).iterdir())
        millions = sum(map(_parameters, networks.values())) / 1e6
        log.info("%s: %.2f M parameters, %.1f MB", self.out, millions, n_bytes / 1e6)


class _Fit:
    """A network under AdamW with linear warm-up and cosine decay to zero, and the moving average of its weights."""

    def __init__(self, network, steps, rate, decay):
        self.network, self.steps, self.rate, self.decay = network, steps, rate, decay
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
        self.average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.step, self.losses = 0, []

    def train_on(self, loss):
        """One step; returns the loss as a float. Raises `TrainingProblem` if it is none."""
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
        decay = min(self.decay, (1 + self.step) / (10 + self.step))  # short at first, when all is noise
        for name, tensor in self.network.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)
        return loss.item()

    def state(self, key):
        """(tensors, facts) of a checkpoint."""
        tensors = {f"average.{n}": t for n, t in self.average.items()}
        tensors |= {f"network.{n}": t for n, t in self.network.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{n}": t for n, t in state.items()}
        return tensors, {"key": key, "step": self.step, "losses": self.losses}

    def resume(self, tensors, facts, path):
        parts = {"average": {}, "network": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        checkpoint.load_into(self.network, parts["network"], path)
        for name, tensor in parts["average"].items():
            self.average[name].copy_(tensor)
        states = {}
        for name, tensor in parts["optimizer"].items():
            i, _, entry = name.partition(".")
            states.setdefault(int(i), {})[entry] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        self.step, self.losses = facts["step"], facts["losses"]


def _whole(picture):
    """A picture of twice the size, at the size."""
    side = picture.shape[0] // 2
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))


def _crop(picture, side):
    """A random square of `side` pixels of a picture of twice the size, first shrunk by 1 to 2; mirrored or not."""
    shrink, x, y, flip = torch.rand(4).tolist()
    extent = side * (1 + shrink)
    left, top = x * (len(picture) - extent), y * (len(picture) - extent)
    box = left, top, left + extent, top + extent
    crop = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR, box))
    return crop[:, ::-1] if flip < 0.5 else crop


def _pixels(images):
    """List of uint8 (H, W, 3) -> float32 (B, 3, H, W) in -1 to 1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _freeze(network):
    """Round a network's weights as they are stored, for everything that is measured or trained with it from here."""
    network.load_state_dict({name: tensor.half().float() for name, tensor in network.state_dict().items()})
    network.requires_grad_(False).eval()


def _parameters(network):
    return sum(p.numel() for p in network.parameters())


def _vae(recipe):
    levels = len(recipe.vae_widths)
    vae = AutoencoderKL(
        sample_size=recipe.size, block_out_channels=recipe.vae_widths, latent_channels=4, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=GROUPS,
    )  # fmt: skip
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            # With torch's own weights all four latents come to tell the brightness, and colour is not learned.
            torch.nn.init.orthogonal_(module.weight)
            torch.nn.init.zeros_(module.bias)
    return vae


def _unet(recipe):
    return UNet2DConditionModel(
        sample_size=recipe.size // recipe.factor, block_out_channels=recipe.unet_widths, layers_per_block=2,
        attention_head_dim=recipe.heads, cross_attention_dim=PROMPT, norm_num_groups=GROUPS,
    )  # fmt: skip


def _text_encoder():
    vocabulary = _vocabulary()
    start, end = vocabulary.index(START), vocabulary.index(END)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary), hidden_size=PROMPT, intermediate_size=2 * PROMPT, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=TOKENS, bos_token_id=start, eos_token_id=end,
            pad_token_id=end,
        )
    )  # fmt: skip


def _empty_prompt(text_encoder):
    """What a text encoder makes of the empty prompt, (1, 77, 32)."""
    vocabulary = _vocabulary()
    tokens = [vocabulary.index(START)] + [vocabulary.index(END)] * (TOKENS - 1)
    return text_encoder(torch.tensor([tokens])).last_hidden_state


def _vocabulary():
    """Every byte, within and at the end of a word, and the two marks."""
    letters = sorted(ByteLevel.alphabet())
    return [*letters, *(f"{letter}</w>" for letter in letters), START, END]


def _write_tokenizer(folder):
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


def main(arguments=None):
    """The command line; bad input ends it with the reason and exit status 2."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], fromfile_prefix_chars="@")
    parser.add_argument("pictures", nargs="+", help="pictures, folders of pictures, or @FILE with one of these a line")
    parser.add_argument("--out", required=True, help="folder to write; a training that was stopped there goes on")
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
