"""Cross-attention: what is recorded against a plain computation and released code, what is injected by its shares."""

import json
import runpy
from math import sqrt
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from modules import part
from torch import nn

attention, features, backbone = part("attention"), part("features"), part("backbone")

KITS = Path(__file__).resolve().parents[1] / "kits"
RELEASED = [-1, 0, 166, 332, 498, 664]  # where the released code calls the U-Net
TOLERANCE = 5e-4  # the kit's, of values around one
HEADS, TOKENS = 2, 77
Recorder = attention.Recorder  # which a test replaces


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def unet(tiny_backbone):
    return tiny_backbone.unet


@pytest.fixture(scope="module")
def inputs():
    """Latents of two images; prompts so strong that the random U-Net prefers some tokens."""
    return randn(2, 4, 8, 16), 3 * randn(2, TOKENS, 16, seed=1)


def marked(*tokens):
    """Each image's positions among the tokens, as `Injection` takes them."""
    return torch.tensor([[i in own for i in range(TOKENS)] for own in tokens])


def called(unet, inputs, timestep=0):
    with torch.no_grad():
        return unet(inputs[0], timestep, encoder_hidden_states=inputs[1]).sample


@pytest.fixture(scope="module")
def layer():
    """A layer of cross-attention whose values are the tokens' numbers and whose output is left as it is."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = Attention(query_dim=6, cross_attention_dim=TOKENS, heads=HEADS, dim_head=TOKENS)
    layer.to_k.weight.data *= 30  # to prefer some tokens
    layer.to_v.weight.data = torch.eye(TOKENS).repeat(HEADS, 1)
    layer.to_out = nn.ModuleList([nn.Identity(), nn.Identity()])
    return layer


def plain_attention(layer, query, key):
    """Softmax(q k / sqrt(d)) of one layer, (B, heads, queries, tokens), from what its projections gave."""
    query, key = (x.double().unflatten(2, (layer.heads, -1)).transpose(1, 2).numpy() for x in (query, key))
    scores = np.exp(query @ key.swapaxes(2, 3) / sqrt(query.shape[3]))
    return scores / scores.sum(3, keepdims=True)


def plain_maps(unet, calls, queries):
    """(B, tokens, queries) of the layers of that size in the down and up blocks, and their number."""
    layers = {n: m for n, m in unet.named_modules() if n.endswith("attn2") and not n.startswith("mid_block")}
    given, hooks = {name: [] for name in layers}, []
    for name, layer in layers.items():
        for projection in (layer.to_q, layer.to_k):
            hooks.append(projection.register_forward_hook(lambda m, i, output, name=name: given[name].append(output)))
    for call in calls:
        call()
    for hook in hooks:
        hook.remove()
    chosen = {name: g for name, g in given.items() if g[0].shape[1] == queries}
    maps = [
        plain_attention(layers[name], q, k).mean(1).swapaxes(1, 2)
        for name, outputs in chosen.items()
        for q, k in zip(outputs[::2], outputs[1::2], strict=True)
    ]
    return np.mean(maps, 0), len(chosen)


class TestRecorded:
    def test_is_the_mean_of_plain_softmaxes(self, unet, inputs):
        """Over the five layers of the down and up blocks with 2 x 4 queries, all heads and both calls."""
        calls = [lambda t=t: called(unet, inputs, t) for t in (0, 500)]
        expected, layers = plain_maps(unet, calls, 2 * 4)
        assert layers == 5
        with attention.recorded(unet, inputs[0]) as recorder:
            for call in calls:
                call()
        maps = recorder.maps()
        assert maps.shape == (2, TOKENS, 2, 4)
        assert maps.dtype == torch.float32
        np.testing.assert_allclose(maps.flatten(2), expected, rtol=1e-4, atol=1e-7)
        assert expected.max() > 3 / TOKENS, "or all are nearly equal, and any mean would do"

    def test_tokens_sum_to_one(self, unet, inputs):
        with attention.recorded(unet, inputs[0]) as recorder:
            called(unet, inputs)
        torch.testing.assert_close(recorder.maps().sum(1), torch.ones(2, 2, 4))

    def test_the_u_net_gives_the_same(self, unet, inputs):
        expected = called(unet, inputs)
        with attention.recorded(unet, inputs[0]):
            given = called(unet, inputs)
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)

    def test_in_bfloat16(self, tiny_backbone, inputs):
        """Maps are float32 all the same; 0.02 is what 8 bits leave of them."""
        half = type(tiny_backbone.unet).from_pretrained(tiny_backbone.folder / "unet", torch_dtype=torch.bfloat16)
        with attention.recorded(half, inputs[0]) as recorder:
            called(half.eval(), [x.bfloat16() for x in inputs])
        with attention.recorded(tiny_backbone.unet, inputs[0]) as exact:
            called(tiny_backbone.unet, inputs)
        assert recorder.maps().dtype == torch.float32
        assert (recorder.maps() - exact.maps()).abs().max() < 0.02

    @pytest.mark.parametrize("calls", [0, 1])
    def test_no_layer_of_this_size(self, unet, inputs, calls):
        with attention.recorded(unet, torch.zeros(1, 4, 64, 128)) as recorder:
            for _ in range(calls):
                called(unet, inputs)
        with pytest.raises(ValueError, match=r"no cross-attention of 16 x 32 queries"):
            recorder.maps()


class TestReleasedCode:
    """Which keeps the second half of what it takes for a batch with guidance: half of the heads."""

    class SecondHalf(Recorder):
        def __init__(self, size):
            super().__init__(size)
            self.all_heads = Recorder(self.size)

        def changed(self, attention):
            self.all_heads.changed(attention)
            super().changed(attention[:, attention.shape[1] // 2 :])
            return attention

    def test_maps(self, monkeypatch):
        """Of six calls; the half of the heads gives theirs, all of them do not."""
        monkeypatch.setattr(attention, "Recorder", self.SecondHalf)
        space, folder = runpy.run_path(str(KITS / "weights.py")), KITS / "augsal"
        settings = json.loads((folder / "kit.json").read_text())["tiny_unet"]
        unet = diffusers.UNet2DConditionModel(**settings["diffusers_config"])
        spec = space["load_spec"](folder / "tiny_unet_state_dict.json")
        unet.load_state_dict(space["seeded_state_dict"](spec, settings["gain"], settings["overrides"]))
        scheduler = diffusers.DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        unused = dict.fromkeys(("folder", "vae", "text_encoder", "tokenizer"))
        model = backbone.Backbone(unet=unet.eval(), scheduler=scheduler, **unused)
        latents = space["seeded_tensor"]("augsal.tiny.latent", (1, 4, 32, 32))
        prompts = space["seeded_tensor"]("augsal.tiny.cond", (1, 77, 24))
        with attention.recorded(unet, latents) as recorder:
            list(features.invert(model, latents, prompts, RELEASED))
        expected = np.load(folder / "expected_extractor.npz")["attention/agg_8x8x77"].transpose(2, 0, 1)
        np.testing.assert_allclose(recorder.maps()[0], expected, rtol=0, atol=TOLERANCE / 10)
        assert np.abs(recorder.all_heads.maps()[0].numpy() - expected).max() > 10 * TOLERANCE


class TestExchange:
    """Of the processors, which are all back after the `with`."""

    NOTHING = attention.Injection(marked([1], [1]), torch.zeros(2, 1, 8, 16), torch.zeros(2))

    def inside(self, unet, inputs):
        return {
            "recorded": lambda: attention.recorded(unet, inputs[0]),
            "injected": lambda: attention.injected(unet, self.NOTHING),
        }

    @pytest.mark.parametrize("kind", ["recorded", "injected"])
    def test_of_cross_attention_outside_the_middle(self, unet, inputs, kind):
        before = unet.attn_processors
        with self.inside(unet, inputs)[kind]():
            exchanged = [n for n, processor in unet.attn_processors.items() if processor is not before[n]]
        assert exchanged == [n for n in before if "attn2" in n and not n.startswith("mid_block")]
        assert len(exchanged) == 15
        assert all(processor is before[n] for n, processor in unet.attn_processors.items())

    @pytest.mark.parametrize("kind", ["recorded", "injected"])
    def test_ends_if_the_u_net_fails(self, unet, inputs, kind):
        def fail(module, given):
            raise RuntimeError("out of memory")

        before, hook = unet.attn_processors, unet.up_blocks[1].register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match=r"out of memory"), self.inside(unet, inputs)[kind]():
            called(unet, inputs)
        hook.remove()
        assert all(processor is before[n] for n, processor in unet.attn_processors.items())

    def test_none_changes_nothing(self, unet, inputs):
        before, expected = unet.attn_processors, called(unet, inputs)
        with attention.injected(unet, None):
            assert all(processor is before[n] for n, processor in unet.attn_processors.items())
            assert torch.equal(called(unet, inputs), expected)


class TestInjected:
    """Into a layer whose output is its attention itself."""

    REGION = torch.tensor([[1.0, 1, 0, 0, 0.25, 0], [1, 0, 0, 0, 0.5, 1], [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0.8]])
    WEIGHTS = torch.tensor([0.5, 0.125])

    @torch.no_grad()
    def attention(self, layer, injection, size=(4, 6)):
        """(2, heads, h, w, tokens)."""
        hidden, tokens = randn(2, size[0] * size[1], 6), torch.eye(TOKENS).expand(2, -1, -1)
        with attention.injected(SimpleNamespace(down_blocks=[nn.ModuleList([layer])], up_blocks=[]), injection):
            output = layer(hidden, encoder_hidden_states=tokens)
        return output.unflatten(2, (HEADS, TOKENS)).unflatten(1, size).permute(0, 3, 1, 2, 4)

    def injection(self, tokens, weights=WEIGHTS):
        return attention.Injection(marked(tokens, tokens), self.REGION.expand(2, 1, -1, -1), weights)

    def test_the_token_gets_the_map_times_the_weight_of_its_image(self, layer):
        given = self.attention(layer, self.injection([5]))[..., 5]
        expected = np.array([[0.5], [0.125]])[:, :, None, None] * self.REGION.numpy()
        np.testing.assert_allclose(given, np.broadcast_to(expected, given.shape), rtol=1e-5)

    @pytest.mark.parametrize("tokens", [[5], [1, 2, 3], [76]])
    def test_rows_sum_to_one(self, layer, tokens):
        given = self.attention(layer, self.injection(tokens))
        assert (given >= 0).all()
        np.testing.assert_allclose(given.sum(4), 1, rtol=1e-5)

    @pytest.mark.parametrize("tokens", [[5], [1, 2, 3]])
    def test_other_tokens_keep_their_ratios(self, layer, tokens):
        """In each row they are all scaled by the same number, which the sum of one then determines."""
        before = np.delete(self.attention(layer, None).numpy(), tokens, 4)
        after = np.delete(self.attention(layer, self.injection(tokens)).numpy(), tokens, 4)
        shares = [before / before.sum(4, keepdims=True), after / after.sum(4, keepdims=True)]
        np.testing.assert_allclose(*shares, rtol=1e-4, atol=1e-9)
        assert before.max() > 0.2, "or all are nearly equal"

    def test_several_tokens_share_it_equally(self, layer):
        one, three = (self.attention(layer, self.injection(tokens)) for tokens in ([5], [5, 6, 20]))
        for token in (5, 6, 20):
            torch.testing.assert_close(three[..., token], one[..., 5] / 3)

    def test_no_more_than_all(self, layer):
        given = self.attention(layer, self.injection([5], torch.tensor([3.0, 0.5])))[0]
        np.testing.assert_allclose(given[:, self.REGION == 1][..., 5], 1)
        np.testing.assert_allclose(given[:, self.REGION == 0.25][..., 5], 0.75, rtol=1e-5)
        assert np.delete(given[:, self.REGION == 1].numpy(), 5, 2).max() == 0

    def test_on_the_grid_of_a_coarser_layer(self, layer):
        """Each cell has the mean of its four."""
        given = self.attention(layer, self.injection([5]), size=(2, 3))
        expected = np.array([[0.75, 0, 0.4375], [0, 1, 0.2]])
        np.testing.assert_allclose(given[0, 0, ..., 5], 0.5 * expected, rtol=1e-5)

    def test_one_layer_after_another(self, layer):
        """Of different grids within one `with`, as in a U-Net."""
        injection, tokens = self.injection([5]), torch.eye(TOKENS).expand(2, -1, -1)
        sizes = [(4, 6), (2, 3), (4, 6)]
        blocks = SimpleNamespace(down_blocks=[nn.ModuleList([layer])], up_blocks=[])
        with torch.no_grad(), attention.injected(blocks, injection):
            together = [layer(randn(2, h * w, 6), encoder_hidden_states=tokens) for h, w in sizes]
        for output, size in zip(together, sizes, strict=True):
            alone = self.attention(layer, injection, size).permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)
            torch.testing.assert_close(output, alone)

    def test_each_image_has_its_own_tokens_and_map(self, layer):
        mirrored = self.REGION.flip(1)
        both = attention.Injection(marked([5], [6, 20]), torch.stack([self.REGION, mirrored])[:, None], self.WEIGHTS)
        first, second = self.attention(layer, both)
        np.testing.assert_allclose(first[..., 5], (0.5 * self.REGION).expand(HEADS, -1, -1), rtol=1e-5)
        for token in (6, 20):
            np.testing.assert_allclose(second[..., token], (0.125 / 2 * mirrored).expand(HEADS, -1, -1), rtol=1e-5)

    def test_an_image_without_tokens_keeps_its_attention(self, layer):
        given = self.attention(
            layer, attention.Injection(marked([5], []), self.injection([5]).region, self.WEIGHTS * 0)
        )
        torch.testing.assert_close(given[1], self.attention(layer, None)[1])

    def test_changes_what_a_u_net_gives_image_by_image(self, unet, inputs):
        region, weights = torch.zeros(2, 1, 8, 16), torch.tensor([0.0, 0.9])
        region[..., 2:6, 4:12] = 1
        injection = attention.Injection(marked([3, 4], [3, 4]), region, weights)
        with attention.injected(unet, injection):
            together = called(unet, inputs)
        alone = []
        for i in range(2):
            with attention.injected(unet, attention.Injection(*(part[[i]] for part in injection))):
                alone.append(called(unet, [x[[i]] for x in inputs]))
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)
        assert (together - called(unet, inputs)).abs().amax((1, 2, 3)).min() > 1e-3
