"""Inversion and features: against released code on a tiny U-Net, against diffusers, and by hand."""

import json
import runpy
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from modules import part
from torch.nn.functional import interpolate

features = part("features")
Backbone = part("backbone").Backbone

KITS = Path(__file__).resolve().parents[1] / "kits"
RELEASED = [-1, 0, 166, 332, 498, 664]  # where the released code calls the U-Net
TOLERANCE = 5e-4  # the kit's


def around(unet, scheduler):
    """A backbone of which only these parts are used."""
    return Backbone(folder=None, vae=None, unet=unet, text_encoder=None, tokenizer=None, scheduler=scheduler)


def schedule(**changes):
    return diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **changes)


@pytest.fixture(scope="module")
def kit():
    """The tiny U-Net that the released code was run on, its input and what came out."""
    space, folder = runpy.run_path(str(KITS / "weights.py")), KITS / "augsal"
    settings = json.loads((folder / "kit.json").read_text())["tiny_unet"]
    unet = diffusers.UNet2DConditionModel(**settings["diffusers_config"])
    spec = space["load_spec"](folder / "tiny_unet_state_dict.json")
    unet.load_state_dict(space["seeded_state_dict"](spec, settings["gain"], settings["overrides"]))
    return SimpleNamespace(
        backbone=around(unet.requires_grad_(False).eval(), schedule()),
        latents=space["seeded_tensor"]("augsal.tiny.latent", (1, 4, 32, 32)),
        prompts=space["seeded_tensor"]("augsal.tiny.cond", (1, 77, 24)),
        expected=np.load(folder / "expected_extractor.npz"),
    )


@pytest.fixture(scope="module")
def released(kit):
    """All steps of the released code, and one more for the state that its last step led to."""
    return list(features.invert(kit.backbone, kit.latents, kit.prompts, [*RELEASED, 830]))


@pytest.fixture(scope="module")
def inputs():
    """Latents of two images and their prompts, for the tiny backbone."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((2, 4, 8, 16), generator=generator), torch.randn((2, 77, 16), generator=generator)


def hooks_on(unet):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


class TestTimesteps:
    @pytest.mark.parametrize(
        ("number", "timesteps"), [(6, [0, 166, 332, 498, 664, 830]), (1, [0]), (3, [0, 333, 666]), (1000, range(1000))]
    )
    def test_leading_spacing(self, tiny_backbone, number, timesteps):
        assert features.ddim_timesteps(tiny_backbone, number) == list(timesteps)

    def test_are_those_of_the_released_code(self, kit):
        assert features.ddim_timesteps(kit.backbone, 6) == kit.expected["schedule/timesteps"][::-1].tolist()

    @pytest.mark.parametrize("number", [0, -1, 1001])
    def test_impossible_numbers_are_refused(self, tiny_backbone, number):
        with pytest.raises(ValueError, match=rf"number of timesteps: expected 1 to 1000, got {number}"):
            features.ddim_timesteps(tiny_backbone, number)


class TestReleasedCode:
    def test_called_the_u_net_there(self, kit):
        assert kit.expected["inversion/unet_timesteps"].tolist() == RELEASED

    @pytest.mark.parametrize("position", range(7))
    def test_states(self, kit, released, position):
        expected = kit.expected[f"inversion/x{position}"]
        np.testing.assert_allclose(released[position].latents[0], expected, rtol=0, atol=TOLERANCE)

    def test_noise(self, kit, released):
        np.testing.assert_allclose(released[5].noise[0], kit.expected["inversion/last_eps"], rtol=0, atol=TOLERANCE)

    def test_features(self, kit, released):
        expected = kit.expected["features/every24th_channel"]
        assert [f.shape[1] for f in released[0].features] == kit.expected["features/dims"].tolist()
        for step, channels in zip(released, expected, strict=False):  # one step less
            resized = [interpolate(f, size=(20, 20), mode="bilinear", align_corners=False) for f in step.features]
            np.testing.assert_allclose(torch.cat(resized, 1)[0, ::24], channels, rtol=0, atol=TOLERANCE)


class TestUpdate:
    def predicting(self, monkeypatch, backbone, predict, **changes):
        """The backbone with `predict` of latents and timestep as its U-Net, and another schedule."""

        def forward(latents, timestep, encoder_hidden_states):
            return SimpleNamespace(sample=predict(latents, timestep))

        monkeypatch.setattr(backbone.unet, "forward", forward)
        return replace(backbone, scheduler=schedule(**changes))

    def test_by_hand(self, monkeypatch, tiny_backbone):
        """Cumulative alphas 0.64 and 0.36: clean (1 - 0.6 * 0.5) / 0.8 = 0.875; 0.6 * 0.875 + 0.8 * 0.5 = 0.925."""
        predict = self.predicting(
            monkeypatch, tiny_backbone, lambda x, t: x / 2, num_train_timesteps=2, trained_betas=[0.36, 0.4375]
        )
        steps = list(features.invert(predict, torch.ones(1, 4, 8, 8), torch.zeros(1, 77, 16), [0, 1]))
        assert [step.timestep for step in steps] == [0, 1]
        torch.testing.assert_close(steps[0].latents, torch.ones(1, 4, 8, 8))
        torch.testing.assert_close(steps[0].noise, torch.full((1, 4, 8, 8), 0.5))
        torch.testing.assert_close(steps[1].latents, torch.full((1, 4, 8, 8), 0.925))

    def test_below_zero_is_the_clean_image(self, monkeypatch, tiny_backbone):
        """0.8 * 1 + 0.6 * 0.5 = 1.1."""
        predict = self.predicting(
            monkeypatch, tiny_backbone, lambda x, t: x / 2, num_train_timesteps=1, trained_betas=[0.36]
        )
        *_, last = features.invert(predict, torch.ones(1, 4, 8, 8), torch.zeros(1, 77, 16), [-1, 0])
        torch.testing.assert_close(last.latents, torch.full((1, 4, 8, 8), 1.1))

    @pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
    def test_with_perfect_predictions_noise_and_image_stay(self, monkeypatch, tiny_backbone, prediction_type):
        clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1)).double()
        alphas = schedule().alphas_cumprod.double()

        def perfect(latents, timestep):
            a = alphas[timestep]
            return (noise if prediction_type == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean).float()

        def state(timestep):
            return (alphas[timestep].sqrt() * clean + (1 - alphas[timestep]).sqrt() * noise).float()

        model = self.predicting(monkeypatch, tiny_backbone, perfect, prediction_type=prediction_type)
        for step in features.invert(model, state(100), torch.zeros(1, 77, 16), [100, 300, 900]):
            torch.testing.assert_close(step.latents, state(step.timestep), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(step.noise, noise.float(), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
    def test_is_that_of_diffusers_inverse_scheduler(self, tiny_backbone, inputs, prediction_type):
        """Which takes a step to timestep t as one from t - 166, the first from the clean image."""
        model = replace(tiny_backbone, scheduler=schedule(prediction_type=prediction_type, clip_sample=False))
        inverse = diffusers.DDIMInverseScheduler.from_config(model.scheduler.config, steps_offset=0)
        inverse.set_timesteps(6)
        steps = list(features.invert(model, *inputs, [*RELEASED, 830]))
        for step, following, timestep in zip(steps, steps[1:], inverse.timesteps, strict=False):
            with torch.no_grad():
                predicted = model.unet(step.latents, step.timestep, inputs[1]).sample
            expected = inverse.step(predicted, timestep, step.latents).prev_sample
            torch.testing.assert_close(following.latents, expected, rtol=1e-4, atol=1e-5)


class TestResiduals:
    def test_with_the_shortcut_they_are_what_the_blocks_give(self, tiny_backbone, inputs):
        """Twelve, in the order in which they run, at their own resolution."""
        unet, shortcuts = tiny_backbone.unet, []

        def record(block, given, output):
            shortcut = block.conv_shortcut(given[0]) if block.conv_shortcut else given[0]
            shortcuts.append(output - shortcut)

        hooks = [r.register_forward_hook(record) for block in unet.up_blocks for r in block.resnets]
        (step,) = features.invert(tiny_backbone, *inputs, [166])
        for hook in hooks:
            hook.remove()
        sizes = [(1, 2)] * 3 + [(2, 4)] * 3 + [(4, 8)] * 3 + [(8, 16)] * 3
        assert [f.shape for f in step.features] == [
            (2, c, *size) for c, size in zip(tiny_backbone.channels, sizes, strict=True)
        ]
        for given, expected in zip(step.features, shortcuts, strict=True):
            torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5)

    def test_every_call_fills_the_list_anew(self, tiny_backbone, inputs):
        latents, prompts = inputs
        with torch.no_grad(), features.decoder_residuals(tiny_backbone.unet) as residuals:
            tiny_backbone.unet(latents, 0, prompts)
            first = list(residuals)
            tiny_backbone.unet(latents, 500, prompts)
        assert len(first) == len(residuals) == 12
        assert not any(torch.equal(a, b) for a, b in zip(first, residuals, strict=True))

    def test_the_hooks_go_on_leaving(self, tiny_backbone):
        with features.decoder_residuals(tiny_backbone.unet):
            assert hooks_on(tiny_backbone.unet) == 13
        assert hooks_on(tiny_backbone.unet) == 0

    def test_the_hooks_go_if_the_u_net_fails(self, tiny_backbone, inputs):
        def fail(module, given):
            raise RuntimeError("out of memory")

        hook = tiny_backbone.unet.up_blocks[1].register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match=r"out of memory"):
            next(features.invert(tiny_backbone, *inputs, [0]))
        hook.remove()
        assert hooks_on(tiny_backbone.unet) == 0


class TestSteps:
    def test_images_of_a_batch_do_not_see_each_other(self, tiny_backbone, inputs):
        latents, prompts = inputs
        together = list(features.invert(tiny_backbone, latents, prompts, [0, 500]))
        for i in range(2):
            for step, alone in zip(
                together, features.invert(tiny_backbone, latents[[i]], prompts[[i]], [0, 500]), strict=True
            ):
                for given, expected in zip(step.features, alone.features, strict=True):
                    torch.testing.assert_close(given[[i]], expected, rtol=1e-3, atol=1e-4)

    def test_the_prompt_matters(self, tiny_backbone, inputs):
        latents, prompts = inputs
        (one,), (other,) = (features.invert(tiny_backbone, latents, p, [0]) for p in (prompts, prompts.flip(0)))
        assert (one.noise - other.noise).abs().max() > 1e-4

    def test_nothing_stays_on_the_u_net_between_steps(self, tiny_backbone, inputs):
        steps = features.invert(tiny_backbone, *inputs, [0, 166, 332])
        next(steps)
        assert hooks_on(tiny_backbone.unet) == 0
        next(steps)
        del steps  # abandoned half-way
        assert hooks_on(tiny_backbone.unet) == 0

    def test_others_may_use_the_u_net_between_steps(self, tiny_backbone, inputs):
        expected = list(features.invert(tiny_backbone, *inputs, [0, 166]))
        first, second = (features.invert(tiny_backbone, *inputs, [0, 166]) for _ in range(2))
        for step in expected:
            taken = next(first)
            before = [f.clone() for f in taken.features]
            next(second)
            assert all(torch.equal(a, b) for a, b in zip(taken.features, before, strict=True))
            assert all(torch.equal(a, b) for a, b in zip(taken.features, step.features, strict=True))

    def test_features_die_with_the_step(self, tiny_backbone, inputs):
        steps = features.invert(tiny_backbone, *inputs, [0, 166])
        for step in steps:
            alive = [weakref.ref(f) for f in step.features]
            assert all(reference() is not None for reference in alive)
            del step
            assert [reference() for reference in alive] == [None] * 12

    def test_a_network_can_learn_from_features(self, tiny_backbone, inputs):
        """Gradients are off inside the U-Net, whatever comes in, and on again between steps."""
        layer = torch.nn.Conv2d(8, 1, 1)
        latents, prompts = (t.clone().requires_grad_() for t in inputs)
        for step in features.invert(tiny_backbone, latents, prompts, [0, 166]):
            assert torch.is_grad_enabled()
            assert not any(f.requires_grad for f in step.features)
            layer(step.features[-1]).sum().backward()
        assert layer.weight.grad.abs().max() > 0

    def test_in_bfloat16(self, tiny_backbone, inputs):
        """Latents and noise are float32 all the same; 0.05 is what 8 bits leave of values around 1."""
        unet = type(tiny_backbone.unet).from_pretrained(tiny_backbone.folder / "unet", torch_dtype=torch.bfloat16)
        half = replace(tiny_backbone, unet=unet.eval())
        for step, exact in zip(*(features.invert(b, *inputs, [0, 500]) for b in (half, tiny_backbone)), strict=True):
            assert {f.dtype for f in step.features} == {torch.bfloat16}
            assert step.latents.dtype == step.noise.dtype == torch.float32
            assert (step.latents - exact.latents).abs().max() < 0.05
            assert (step.noise - exact.noise).abs().max() < 0.05

    def test_embedding_in_bfloat16(self, tiny_backbone):
        unet = type(tiny_backbone.unet).from_pretrained(tiny_backbone.folder / "unet", torch_dtype=torch.bfloat16)
        embedding = replace(tiny_backbone, unet=unet.eval()).embed_timestep(830, 2)
        assert embedding.dtype == torch.float32
        assert (embedding - tiny_backbone.embed_timestep(830, 2)).abs().max() < 0.02


class TestBadInput:
    """All of it is told by the call, before the first step."""

    @pytest.mark.parametrize("timesteps", [[], [0, 0], [166, 0], [0, 1000]])
    def test_timesteps(self, tiny_backbone, inputs, timesteps):
        with pytest.raises(ValueError, match=r"timesteps: expected strictly ascending ones below 1000, got \["):
            features.invert(tiny_backbone, *inputs, timesteps)

    @pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 8, 8)])
    def test_latents(self, tiny_backbone, shape):
        with pytest.raises(ValueError, match=r"latents: expected \(B, 4, h, w\), got \("):
            features.invert(tiny_backbone, torch.zeros(shape), torch.zeros(1, 77, 16), [0])

    @pytest.mark.parametrize("shape", [(1, 77, 16), (2, 77, 24), (77, 16)])
    def test_prompts(self, tiny_backbone, inputs, shape):
        with pytest.raises(ValueError, match=r"prompts: expected \(2, 77, 16\), one for each image, got \("):
            features.invert(tiny_backbone, inputs[0], torch.zeros(shape), [0])

    def test_prediction_type(self, tiny_backbone, inputs):
        model = replace(tiny_backbone, scheduler=schedule(prediction_type="sample"))
        with pytest.raises(ValueError, match=r"expected epsilon or v_prediction, got sample"):
            features.invert(model, *inputs, [0])
