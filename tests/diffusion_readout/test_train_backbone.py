"""The small backbone trained from scratch: what is written, how it learns, and that a kill changes nothing."""

import importlib
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from modules import part
from PIL import Image
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio

from salbench.identity import Identity
from salbench.training import TrainingProblem

script = importlib.import_module(f"{part('backbone').__package__}.train_backbone")
TINY = script.Recipe(
    size=64, vae_widths=(8, 8, 8, 8), unet_widths=(8, 16, 16, 16), heads=(1, 2, 2, 2), vae_steps=2, vae_batch_size=2,
    unet_steps=2, unet_batch_size=2, views=2,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _few_measurements():
    """Two batches of predicted noise are measured instead of fifty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "MEASURED", 2)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folder of six pictures of twice the tiny recipe's size, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    (folder / "notes.txt").write_text("of the pictures")
    return folder


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    """(folder, facts) of a tiny training. Nothing may change the folder."""
    out = tmp_path_factory.mktemp("trained")
    return out, script.train([pictures], out, TINY)


@pytest.fixture(scope="module")
def backbone(trained):
    return part("backbone").Backbone.load(trained[0])


@pytest.fixture
def quick(monkeypatch):
    """Checkpoints after every step."""
    monkeypatch.setattr(script, "SAVE_EVERY", 1)


def killed_at_second_call(function):
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return function(*arguments)

    return killed


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestFolder:
    def test_is_a_backbone(self, backbone):
        assert backbone.channels == [16] * 9 + [8] * 3
        assert backbone.image_size == (64, 64)
        assert backbone.multiple == TINY.multiple == 64

    def test_is_half_precision_on_disk_and_float32_when_loaded(self, trained, backbone):
        stored = [load_file(path) for path in trained[0].rglob("*.safetensors")]
        assert len(stored) == 3
        assert {tensor.dtype for tensors in stored for tensor in tensors.values()} == {torch.float16}
        networks = backbone.vae, backbone.unet, backbone.text_encoder
        assert {p.dtype for network in networks for p in network.parameters()} == {torch.float32}

    def test_holds_the_backbone_and_its_facts_only(self, trained):
        parts = {path.name for path in trained[0].iterdir()}
        assert parts == {"vae", "unet", "text_encoder", "tokenizer", "scheduler", "training.json"}

    def test_noise_schedule_is_that_of_stable_diffusion(self, backbone):
        betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        np.testing.assert_allclose(backbone.scheduler.alphas_cumprod, np.cumprod(1 - betas), rtol=1e-5)

    def test_prompt_of_the_training_is_the_empty_prompt(self, backbone):
        torch.testing.assert_close(script._empty_prompt(backbone.text_encoder), backbone.embed_prompts([""]))

    def test_tokenizer_knows_every_caption(self, backbone):
        text = "Ein Käfer, 東京 🙂!"
        tokens = backbone.tokenizer(text).input_ids
        assert (tokens[0], tokens[-1]) == (512, 513)
        assert not {512, 513} & set(tokens[1:-1])
        assert len(tokens) - 2 == len(text.replace(" ", "").encode())

    def test_scaled_latents_have_unit_variance(self, backbone, pictures):
        """Those of the training's crops have, these come from the same pictures."""
        images = [np.asarray(Image.open(path).resize((64, 64))) for path in sorted(pictures.glob("*.png"))]
        assert backbone.encode(torch.from_numpy(np.stack(images))).std() == pytest.approx(1, abs=0.2)


class TestFacts:
    def test_are_in_the_folder(self, trained):
        assert json.loads((trained[0] / "training.json").read_text()) == trained[1]

    def test_say_what_was_trained(self, trained, backbone):
        facts = trained[1]
        assert (facts["n_pictures"], facts["n_unreadable"]) == (6, 0)
        assert facts["vae"]["parameters"] == sum(p.numel() for p in backbone.vae.parameters())
        assert facts["identity"]["recipe"]["views"] == 2

    def test_psnr_of_the_held_out_pictures(self, trained, backbone, pictures):
        """Every second of six, decoded by the backbone as it was stored."""
        values = []
        for path in sorted(pictures.glob("*.png"))[1::2]:
            image = np.asarray(Image.open(path).resize((64, 64), Image.Resampling.BILINEAR))
            latents = backbone.encode(torch.from_numpy(image.copy())[None]) / backbone.vae.config.scaling_factor
            made = backbone.vae.decode(latents).sample[0].permute(1, 2, 0).numpy().clip(-1, 1)
            values.append(peak_signal_noise_ratio(image / 255, made / 2 + 0.5, data_range=1))
        assert trained[1]["vae"]["psnr"] == pytest.approx(np.mean(values), abs=1e-3)


class TestNoSteps:
    def test_leaves_the_weights_random(self, pictures, tmp_path, quick):
        """Those that are drawn for the seed, rounded as they are stored; the latents are scaled all the same."""
        facts = script.train([pictures], tmp_path, replace(TINY, vae_steps=0, unet_steps=0))
        drawn = script._Training(
            *script._read(script._paths([pictures]), 128)[:1], tmp_path, TINY, Identity({"seed": 0}), "cpu"
        )
        stored = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
        assert stored.keys() == drawn.unet.state_dict().keys()
        assert all(torch.equal(tensor.half(), stored[name]) for name, tensor in drawn.unet.state_dict().items())
        assert facts["unet"]["losses"] == facts["vae"]["losses"] == []
        assert json.loads((tmp_path / "vae" / "config.json").read_text())["scaling_factor"] != 1


class TestKilled:
    def test_goes_on_to_the_same_bytes(self, trained, pictures, tmp_path, monkeypatch, quick):
        """Killed in the second step of each stage, after the checkpoint of the first, which is not done again."""
        train_on, steps = script._Fit.train_on, []
        monkeypatch.setattr(script._Fit, "train_on", lambda fit, loss: steps.append(fit.step) or train_on(fit, loss))
        for stage in ("_vae_loss", "_unet_loss"):
            with monkeypatch.context() as patch:
                patch.setattr(script._Training, stage, killed_at_second_call(getattr(script._Training, stage)))
                with pytest.raises(KeyboardInterrupt):
                    script.train([pictures], tmp_path, TINY)
            assert not (tmp_path / "training.json").exists()
        script.train([pictures], tmp_path, TINY)
        assert steps == [0, 1, 0, 1]
        expected, got = contents(trained[0]), contents(tmp_path)
        assert got.keys() == expected.keys()
        other = [name for name in got if got[name] != expected[name]]
        assert other == ["training.json"]  # which has a mean loss for each checkpoint

    def test_finished_stays_as_it_is(self, trained, pictures, logged):
        before = contents(trained[0])
        assert script.train([pictures], trained[0], TINY) == trained[1]
        assert any("is finished" in line for line in logged)
        assert contents(trained[0]) == before

    @pytest.mark.parametrize("stopped", [False, True])
    def test_another_training_is_refused(self, stopped, trained, pictures, tmp_path, monkeypatch, quick):
        folder = trained[0]
        if stopped:
            folder = tmp_path
            monkeypatch.setattr(script._Training, "_latents", lambda self: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                script.train([pictures], folder, TINY)
        with pytest.raises(TrainingProblem, match=r"\(seed 1 instead of 0\)\. Choose another --out"):
            script.train([pictures], folder, TINY, seed=1)
        with pytest.raises(TrainingProblem, match=r"recipe\.views 3 instead of 2; pictures \w{16} instead of"):
            script.train(sorted(pictures.glob("*.png"))[:5], folder, replace(TINY, views=3))


class TestLearning:
    def test_average_and_rate(self):
        """One weight with gradient one: Adam goes by the rate in each step (without decay it is the rate itself)."""
        weight = torch.nn.Linear(1, 1, bias=False)
        fit = script._Fit(weight, steps=4, rate=0.1, decay=0.9)
        fit.optimizer.param_groups[0]["weight_decay"] = 0.0
        value = average = weight.weight.item()
        for step in range(4):
            fit.train_on(weight.weight.sum())
            rate = 0.1 * (step + 1) / script.WARMUP * (1 + math.cos(math.pi * step / 4)) / 2
            value -= rate
            decay = min(0.9, (2 + step) / (11 + step))
            average = decay * average + (1 - decay) * value
            assert weight.weight.item() == pytest.approx(value, abs=1e-6)
            assert fit.average["weight"].item() == pytest.approx(average, abs=1e-6)
        assert fit.step == 4

    def test_a_loss_that_is_no_number_is_told(self, pictures, tmp_path, monkeypatch):
        monkeypatch.setattr(script, "l1_loss", lambda made, pixels: (made - pixels).mean() * math.nan)
        with pytest.raises(TrainingProblem, match=r"the loss is nan at step 1; lower the learning rate"):
            script.train([pictures], tmp_path, TINY)

    def test_finding_all_noise_costs_nothing_and_none_costs_one(self):
        clean = torch.randn(64, 4, 8, 8)
        training = object.__new__(script._Training)
        training.device, training.scheduler = "cpu", SimpleNamespace(add_noise=lambda clean, noise, t: noise)
        for found, cost in [(lambda noise: noise, 0), (torch.zeros_like, 1)]:
            training.unet = lambda noisy, t, encoder_hidden_states, f=found: SimpleNamespace(sample=f(noisy))
            assert training._unet_loss(clean, torch.zeros(1, 77, 32)).item() == pytest.approx(cost, abs=0.05)


@pytest.fixture(scope="module")
def crops():
    """Of a picture whose red tells x and whose green tells y, both in pixels from 0 to 127."""
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    torch.manual_seed(0)
    return np.stack([script._crop(np.stack([x, y, x], 2), 64) for _ in range(200)]).astype(float)


class TestCrop:
    def test_show_half_to_all_of_the_picture(self, crops):
        assert crops.shape == (200, 64, 64, 3)
        widths, heights = np.ptp(crops[..., 0], axis=(1, 2)), np.ptp(crops[..., 1], axis=(1, 2))
        np.testing.assert_allclose(widths, heights, atol=2)
        assert 60 < widths.min() < 70
        assert 115 < widths.max() < 128

    def test_lie_everywhere(self, crops):
        left, top = crops[..., 0].min((1, 2)), crops[..., 1].min((1, 2))
        for start in (left, top):
            assert start.min() < 3
            assert start.max() > 45

    def test_are_mirrored_half_of_the_time_and_never_upside_down(self, crops):
        mirrored = crops[:, 0, 0, 0] > crops[:, 0, -1, 0]
        assert 70 < mirrored.sum() < 130
        assert (crops[:, 0, 0, 1] < crops[:, -1, 0, 1]).all()


class TestBadInput:
    def test_no_pictures(self, tmp_path):
        with pytest.raises(ValueError, match=r"expected at least two readable pictures, got 0"):
            script.train([tmp_path], tmp_path / "out", TINY)

    def test_a_path_that_does_not_exist(self, pictures, tmp_path):
        with pytest.raises(ValueError, match=r"nowhere: expected a picture or a folder of pictures"):
            script.train([pictures, tmp_path / "nowhere"], tmp_path / "out", TINY)

    def test_unreadable_pictures_are_left_out_and_counted(self, pictures, tmp_path, warned):
        folder = shutil.copytree(pictures, tmp_path / "pictures")
        (folder / "2.png").write_bytes(b"")
        (folder / "4.png").write_bytes((pictures / "4.png").read_bytes()[:500])
        pictures, facts = script._read(script._paths([folder]), 128)
        assert (len(pictures), facts["n_pictures"], facts["n_unreadable"]) == (4, 4, 2)
        assert len(warned) == 2
        assert any("2.png: not a readable picture" in line for line in warned)

    @pytest.mark.parametrize("size", [32, 96, 100])
    def test_size_that_is_no_multiple(self, size):
        with pytest.raises(ValueError, match=rf"size: expected a multiple of 64 pixels, got {size}"):
            replace(TINY, size=size)

    @pytest.mark.parametrize("name", ["size", "vae_batch_size", "unet_batch_size", "views"])
    def test_numbers_below_one(self, name):
        with pytest.raises(ValueError, match=rf"{name}: expected 1 or more, got 0"):
            replace(TINY, **{name: 0})

    @pytest.mark.parametrize("name", ["vae_steps", "unet_steps"])
    def test_steps_below_none(self, name):
        with pytest.raises(ValueError, match=rf"{name}: expected 0 or more, got -1"):
            replace(TINY, **{name: -1})


class TestDefaultRecipe:
    def test_is_small(self):
        """Under 14 MB in half precision."""
        networks = script._vae(script.Recipe()), script._unet(script.Recipe()), script._text_encoder()
        assert 5e6 < sum(map(script._parameters, networks)) < 6.8e6

    def test_has_the_topology_of_stable_diffusion(self):
        with torch.device("meta"):  # no memory for what is only looked at
            unet, sd = script._unet(script.Recipe()), UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        sd = json.loads(sd.to_json_string())
        own = json.loads(unet.to_json_string())
        others = {"sample_size", "block_out_channels", "attention_head_dim", "cross_attention_dim", "norm_num_groups"}
        assert {name for name in sd if own[name] != sd[name]} == others
        assert len([resnet for block in unet.up_blocks for resnet in block.resnets]) == 12
        assert unet.config.sample_size * 4 == script.Recipe().size


class TestCommandLine:
    def test_pictures_from_a_list(self, pictures, tmp_path, monkeypatch):
        given = []
        monkeypatch.setattr(script, "train", lambda *args, **options: given.append((args, options)))
        (tmp_path / "list.txt").write_text("".join(f"{pictures / name}\n" for name in ("1.png", "0.png")))
        script.main([f"@{tmp_path / 'list.txt'}", str(pictures), "--out", "out", "--size", "128", "--unet-steps", "7"])
        places = [str(pictures / "1.png"), str(pictures / "0.png"), str(pictures)]
        recipe = replace(script.Recipe(), size=128, unet_steps=7)
        assert given == [((places, "out", recipe), {"seed": 0, "device": "cpu"})]

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (["--size", "100"], "size: expected a multiple of 32 pixels, got 100"),
            (["--device", "abacus"], "device: expected"),
            (["--vae-steps", "-1"], "vae_steps: expected 0 or more, got -1"),
        ],
    )
    def test_bad_input_is_told(self, options, reason, pictures, tmp_path, capsys):
        with pytest.raises(SystemExit, match="2"):
            script.main([str(pictures), "--out", str(tmp_path / "out"), *options])
        assert f"error: {reason}" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
