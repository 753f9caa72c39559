"""The frozen backbone: what it loads and refuses, its hash, and what it makes of images, captions and timesteps."""

import json
import shutil
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from modules import part
from safetensors.torch import load_file, save_file

from salbench.registry import MethodUnavailable

backbone = part("backbone")
Backbone = backbone.Backbone

FILES = (
    "scheduler/scheduler_config.json", "text_encoder/config.json", "text_encoder/model.safetensors",
    "tokenizer/merges.txt", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)  # fmt: skip
WEIGHTS = [name for name in FILES if name.endswith(".safetensors")]
COMMAND = r"hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --include .*"


@pytest.fixture
def folder(tiny_backbone_folder, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny_backbone_folder, tmp_path / "backbone"))


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 64, 128, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def parts(model):
    return model.vae, model.unet, model.text_encoder


class TestLoad:
    def test_is_frozen(self, tiny_backbone):
        assert not any(p.requires_grad for network in parts(tiny_backbone) for p in network.parameters())
        assert not any(module.training for network in parts(tiny_backbone) for module in network.modules())

    def test_runs_in_float32_on_the_cpu(self, tiny_backbone):
        assert {p.dtype for network in parts(tiny_backbone) for p in network.parameters()} == {torch.float32}
        assert tiny_backbone.device.type == "cpu"

    @pytest.mark.parametrize(
        ("capability", "dtype"), [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16)]
    )
    def test_runs_in_half_precision_on_a_gpu(self, monkeypatch, capability, dtype):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        assert backbone._dtype(torch.device("cuda:1")) == dtype

    def test_the_weights_are_those_of_the_files(self, tiny_backbone):
        """Also where diffusers and transformers have renamed them since Stable Diffusion 1.5 was released."""
        text_encoder, unet, vae = (load_file(tiny_backbone.folder / name) for name in WEIGHTS)
        query = tiny_backbone.vae.encoder.mid_block.attentions[0].to_q.weight
        assert torch.equal(query, vae["encoder.mid_block.attentions.0.query.weight"])
        words = tiny_backbone.text_encoder.get_input_embeddings().weight
        assert torch.equal(words, text_encoder["text_model.embeddings.token_embedding.weight"])
        assert unet.keys() == tiny_backbone.unet.state_dict().keys()
        assert all(torch.equal(t, unet[name]) for name, t in tiny_backbone.unet.state_dict().items())

    def test_noise_schedule(self, tiny_backbone):
        betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        np.testing.assert_allclose(tiny_backbone.scheduler.alphas_cumprod, np.cumprod(1 - betas), rtol=1e-5)

    def test_channels_and_multiple(self, tiny_backbone):
        assert tiny_backbone.channels == [16] * 9 + [8] * 3
        assert tiny_backbone.multiple == 64

    def test_channels_of_stable_diffusion(self, tiny_backbone):
        with torch.device("meta"):
            unet = type(tiny_backbone.unet)(cross_attention_dim=768)
        assert replace(tiny_backbone, unet=unet).channels == [1280] * 6 + [640] * 3 + [320] * 3

    def test_a_tokenizer_in_one_file_will_do(self, folder, tiny_backbone):
        tiny_backbone.tokenizer.save_pretrained(folder / "new")
        shutil.rmtree(folder / "tokenizer")
        (folder / "new").rename(folder / "tokenizer")
        assert "tokenizer/tokenizer.json" in Backbone.load(folder).file_hashes()
        assert not (folder / "tokenizer" / "vocab.json").exists()


class TestMissing:
    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_named(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(MethodUnavailable, match=rf"lacks {name}; fetch one with: {COMMAND} --local-dir") as caught:
            Backbone.load(folder)
        assert "\n" not in str(caught.value)

    def test_pickles_are_not_read(self, folder):
        weights = folder / "unet/diffusion_pytorch_model.safetensors"
        torch.save(load_file(weights), weights.with_suffix(".bin"))
        weights.unlink()
        with pytest.raises(MethodUnavailable, match=r"lacks unet/diffusion_pytorch_model\.safetensors"):
            Backbone.load(folder)

    def test_no_such_folder(self, tmp_path):
        with pytest.raises(MethodUnavailable, match=rf"{tmp_path}/none is no folder; fetch one with: {COMMAND}"):
            Backbone.load(tmp_path / "none")

    def test_the_command_fetches_what_is_needed_and_no_more(self):
        """The names of large files that lie beside it in the hub's repository."""
        others = [
            "v1-5-pruned.safetensors", "v1-5-pruned-emaonly.ckpt", "safety_checker/model.safetensors",
            "safety_checker/pytorch_model.bin", "text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.non_ema.safetensors", "vae/diffusion_pytorch_model.fp16.bin",
        ]  # fmt: skip
        fetched = [n for n in (*FILES, *others) if any(fnmatch(n, pattern) for pattern in backbone.PATTERNS)]
        assert fetched == list(FILES)
        assert all(f'--include "{pattern}"' in backbone._command("x/y") for pattern in backbone.PATTERNS)


class TestDamaged:
    @pytest.mark.parametrize("left", [0, 0.5, 0.99])
    @pytest.mark.parametrize("name", [name for name in FILES if name != "tokenizer/merges.txt"])
    def test_a_file_that_is_cut_off_is_named(self, folder, name, left):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(left * len(content))])
        with pytest.raises(ValueError, match=rf"{folder / name}: damaged, fetch it again"):
            Backbone.load(folder)

    def test_merges(self, folder):
        (folder / "tokenizer/merges.txt").write_text("#version: 0.2\nnot_a piece\n")
        with pytest.raises(ValueError, match=rf"{folder / 'tokenizer'}: cannot be loaded"):
            Backbone.load(folder)

    @pytest.mark.parametrize("name", WEIGHTS)
    def test_a_missing_tensor_does_not_stay_random(self, folder, name):
        tensors = load_file(folder / name)
        del tensors[next(n for n in tensors if n.endswith(".weight"))]
        save_file(tensors, folder / name, {"format": "pt"})
        with pytest.raises(
            ValueError, match=rf"{(folder / name).parent}: expected all weights of a \w+, 1 are missing: "
        ):
            Backbone.load(folder)

    @pytest.mark.parametrize("name", WEIGHTS)
    def test_a_tensor_of_another_shape(self, folder, name):
        tensors = load_file(folder / name)
        tensors[next(n for n in tensors if n.endswith(".weight"))] = torch.zeros(3)
        save_file(tensors, folder / name, {"format": "pt"})
        with pytest.raises(ValueError, match=rf"{(folder / name).parent}: cannot be loaded"):
            Backbone.load(folder)

    def test_a_u_net_for_another_text_encoder(self, folder, tiny_backbone):
        type(tiny_backbone.unet)(
            block_out_channels=(8, 8, 8, 8), norm_num_groups=4, attention_head_dim=2, cross_attention_dim=24
        ).save_pretrained(folder / "unet")
        with pytest.raises(ValueError, match=r"latents and prompts of 4 and 16 channels, got one for 4 and 24"):
            Backbone.load(folder)


class TestHub:
    @pytest.fixture
    def cached(self, tiny_backbone_folder, tmp_path, monkeypatch):
        """The tiny backbone as some/backbone in a cache of the hub, which itself cannot be reached."""
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        repository, commit = tmp_path / "models--some--backbone", "0" * 40
        snapshot = Path(shutil.copytree(tiny_backbone_folder, repository / "snapshots" / commit))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(commit)
        return snapshot

    def test_is_loaded_from_the_cache_with_the_same_hash(self, cached, tiny_backbone):
        loaded = Backbone.load("some/backbone")
        assert loaded.folder == cached
        assert loaded.hash == tiny_backbone.hash

    @pytest.mark.parametrize("place", ["some/backbone", "another/backbone"])
    def test_what_cannot_be_reached_is_told_in_one_line(self, cached, place):
        (cached / "unet/config.json").unlink()
        with pytest.raises(MethodUnavailable, match=rf"needs the backbone {place}: .*fetch it with: hf .* {place} --i"):
            Backbone.load(place)

    def test_the_reason_is_cut_to_one_line(self, monkeypatch):
        def unreachable(*arguments, **options):
            raise LocalEntryNotFoundError("no route\nmore of it")

        monkeypatch.setattr(backbone, "snapshot_download", unreachable)
        with pytest.raises(MethodUnavailable, match=r"hub failed \(no route\); fetch") as caught:
            Backbone.load("some/backbone")
        assert "\n" not in str(caught.value)

    def test_an_incomplete_cache_is_completed(self, folder, tiny_backbone_folder, monkeypatch):
        (folder / "vae/config.json").unlink()
        calls = []

        def download(repository, *, allow_patterns, local_files_only=False):
            calls.append((repository, local_files_only))
            return str(folder if local_files_only else tiny_backbone_folder)

        monkeypatch.setattr(backbone, "snapshot_download", download)
        assert Backbone.load("some/backbone").folder == tiny_backbone_folder
        assert calls == [("some/backbone", True), ("some/backbone", False)]

    def test_a_repository_without_safetensors(self, folder, monkeypatch):
        (folder / "vae/diffusion_pytorch_model.safetensors").unlink()
        monkeypatch.setattr(backbone, "snapshot_download", lambda *arguments, **options: str(folder))
        with pytest.raises(MethodUnavailable, match=r"\(it lacks vae/diffusion_pytorch_model\.safetensors\)"):
            Backbone.load("some/backbone")


class TestHash:
    def test_covers_all_files(self, tiny_backbone):
        assert tuple(tiny_backbone.file_hashes()) == FILES
        assert len(tiny_backbone.hash) == 16
        int(tiny_backbone.hash, 16)

    @pytest.mark.parametrize("name", FILES)
    def test_depends_on_every_file(self, folder, tiny_backbone, name):
        with (folder / name).open("ab") as file:
            file.write(b" ")
        assert replace(tiny_backbone, folder=folder).hash != tiny_backbone.hash

    def test_does_not_depend_on_other_files(self, folder, tiny_backbone):
        (folder / "safety_checker").mkdir()
        (folder / "safety_checker/config.json").write_text("{}")
        (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"x")
        assert replace(tiny_backbone, folder=folder).hash == tiny_backbone.hash

    def test_files_are_read_once(self, tiny_backbone, monkeypatch):
        model, read = replace(tiny_backbone), []
        monkeypatch.setattr(backbone, "hash_file", lambda path: read.append(path) or "0")
        assert model.hash == model.hash
        assert len(read) == len(FILES)


class TestEncode:
    def test_is_the_scaled_mean_of_the_posterior(self, tiny_backbone, images):
        vae = tiny_backbone.vae
        latents = tiny_backbone.encode(images)
        assert latents.shape == (2, 4, 8, 16)
        pixels = torch.from_numpy(images.numpy().astype(np.float32).transpose(0, 3, 1, 2) / 255 * 2 - 1)
        with torch.no_grad():
            moments = vae.quant_conv(vae.encoder(pixels))
        torch.testing.assert_close(latents, moments[:, :4] * 0.18215, rtol=1e-4, atol=1e-6)
        assert torch.equal(tiny_backbone.encode(images), latents)

    def test_pixels_go_from_minus_one_to_one(self, tiny_backbone):
        images = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
        images[:, :, 32:, 1] = 255
        seen = []
        hook = tiny_backbone.vae.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        tiny_backbone.encode(images)
        hook.remove()
        expected = -torch.ones((1, 3, 64, 64))
        expected[:, 1, :, 32:] = 1
        assert torch.equal(seen[0], expected)

    def test_scale_and_shift_come_from_the_configuration(self, tiny_backbone, images):
        vae = type(tiny_backbone.vae).from_config(
            {**tiny_backbone.vae.config, "scaling_factor": 2, "shift_factor": 0.5}
        )
        vae.load_state_dict(tiny_backbone.vae.state_dict())
        shifted = replace(tiny_backbone, vae=vae.eval()).encode(images)
        torch.testing.assert_close(shifted, (tiny_backbone.encode(images) / 0.18215 - 0.5) * 2)

    def test_images_of_a_batch_do_not_see_each_other(self, tiny_backbone, images):
        alone = torch.cat([tiny_backbone.encode(image[None]) for image in images])
        torch.testing.assert_close(tiny_backbone.encode(images), alone, rtol=1e-4, atol=1e-6)
        assert (alone[0] - alone[1]).abs().max() > 1e-3

    @pytest.mark.parametrize(
        ("shape", "dtype"),
        [((1, 64, 64, 3), torch.float32), ((1, 3, 64, 64), torch.uint8), ((64, 64, 3), torch.uint8)],
    )
    def test_other_types_and_shapes_are_refused(self, tiny_backbone, shape, dtype):
        with pytest.raises(ValueError, match=r"images: expected uint8 \(B, H, W, 3\), got torch\.\w+ \(\d"):
            tiny_backbone.encode(torch.zeros(shape, dtype=dtype))

    @pytest.mark.parametrize("size", [(64, 72), (40, 64), (0, 64), (480, 640)])
    def test_other_sizes_are_refused(self, tiny_backbone, size):
        message = rf"multiples of 64, got {size[0]} x {size[1]}; resize"
        with pytest.raises(ValueError, match=message):
            tiny_backbone.encode(torch.zeros((1, *size, 3), dtype=torch.uint8))


class TestDecode:
    def test_is_the_decoder_on_unscaled_latents(self, tiny_backbone, images):
        vae, latents = tiny_backbone.vae, tiny_backbone.encode(images)
        pixels = tiny_backbone.decode(latents)
        assert pixels.shape == (2, 3, 64, 128)
        assert pixels.dtype == torch.float32
        with torch.no_grad():
            expected = vae.decoder(vae.post_quant_conv(latents / 0.18215))
        torch.testing.assert_close(pixels, expected, rtol=1e-4, atol=1e-5)

    def test_undoes_scale_and_shift_of_the_configuration(self, tiny_backbone, images):
        vae = type(tiny_backbone.vae).from_config(
            {**tiny_backbone.vae.config, "scaling_factor": 2, "shift_factor": 0.5}
        )
        vae.load_state_dict(tiny_backbone.vae.state_dict())
        shifted = replace(tiny_backbone, vae=vae.eval())
        pixels = shifted.decode(shifted.encode(images))
        torch.testing.assert_close(pixels, tiny_backbone.decode(tiny_backbone.encode(images)), rtol=1e-4, atol=1e-5)

    def test_needs_no_gradients(self, tiny_backbone):
        assert not tiny_backbone.decode(torch.zeros(1, 4, 8, 8, requires_grad=True)).requires_grad

    def test_in_bfloat16(self, tiny_backbone, images):
        """float32 pixels all the same; 0.02 is what 8 bits leave of values around one, on average."""
        vae = type(tiny_backbone.vae).from_pretrained(tiny_backbone.folder / "vae", torch_dtype=torch.bfloat16)
        unet = type(tiny_backbone.unet).from_pretrained(tiny_backbone.folder / "unet", torch_dtype=torch.bfloat16)
        latents = tiny_backbone.encode(images)
        pixels = replace(tiny_backbone, vae=vae.eval(), unet=unet.eval()).decode(latents)
        assert pixels.dtype == torch.float32
        assert (pixels - tiny_backbone.decode(latents)).abs().mean() < 0.02


class TestTokens:
    def test_of_a_caption(self, tiny_backbone):
        """Two words that the tokenizer knows, and one byte by byte, of which two make the umlaut."""
        ids, spans = tiny_backbone.tokenize("A cat, tür")
        vocabulary = json.loads((tiny_backbone.folder / "tokenizer/vocab.json").read_text())
        assert ids == [vocabulary[p] for p in ("a</w>", "cat</w>", ",</w>", "t", "Ã", "¼", "r</w>")]
        assert spans == [(0, 1), (2, 5), (5, 6), (7, 8), (8, 9), (8, 9), (9, 10)]

    def test_of_none(self, tiny_backbone):
        assert tiny_backbone.tokenize("") == ([], [])

    def test_as_many_as_a_prompt_has_room_for(self, tiny_backbone):
        ids, spans = tiny_backbone.tokenize("a " * 74 + "cat dog")
        assert len(ids) == len(spans) == 75
        assert spans[-1] == (148, 151)

    @pytest.mark.parametrize("caption", ["", "a cat", "dog, cat; ön", "a " * 73 + "cat", "a " * 90])
    def test_their_embedding_is_that_of_the_caption(self, tiny_backbone, caption):
        given = tiny_backbone.embed_tokens(tiny_backbone.tokenize(caption)[0])
        assert given.shape == (1, 77, 16)
        torch.testing.assert_close(given, tiny_backbone.embed_prompts([caption]), rtol=1e-5, atol=1e-5)

    def test_what_a_prompt_has_no_room_for_is_left_out(self, tiny_backbone):
        ids, _ = tiny_backbone.tokenize("a cat " * 37 + "a")
        given = tiny_backbone.embed_tokens([*ids, *ids])
        torch.testing.assert_close(given, tiny_backbone.embed_tokens(ids), rtol=1e-5, atol=1e-5)


class TestPrompts:
    def embedded(self, tiny_backbone, pieces):
        """The text encoder on pieces, begun, ended and filled up to 77 by hand."""
        vocabulary = json.loads((tiny_backbone.folder / "tokenizer/vocab.json").read_text())
        pieces = ["<|startoftext|>", *pieces[:75], "<|endoftext|>"]
        pieces += ["<|endoftext|>"] * (77 - len(pieces))
        with torch.no_grad():
            return tiny_backbone.text_encoder(torch.tensor([[vocabulary[p] for p in pieces]])).last_hidden_state

    @pytest.mark.parametrize(
        ("caption", "pieces"),
        [("a cat", ["a</w>", "cat</w>"]), ("A  Cat", ["a</w>", "cat</w>"]), ("", []), ("a " * 90, ["a</w>"] * 90)],
    )
    def test_is_the_last_hidden_state(self, tiny_backbone, caption, pieces):
        given = tiny_backbone.embed_prompts([caption])
        assert given.shape == (1, 77, 16)
        torch.testing.assert_close(given, self.embedded(tiny_backbone, pieces), rtol=1e-5, atol=1e-5)

    def test_captions_of_a_batch_do_not_see_each_other(self, tiny_backbone):
        together = tiny_backbone.embed_prompts(["a cat", "", "two"])
        alone = torch.cat([tiny_backbone.embed_prompts([caption]) for caption in ("a cat", "", "two")])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
        assert (alone[0] - alone[1]).abs().max() > 1e-3

    def test_the_empty_prompt_is_embedded_once(self, tiny_backbone):
        model, calls = replace(tiny_backbone), []
        hook = model.text_encoder.register_forward_pre_hook(lambda module, inputs: calls.append(1))
        first, second = model.embed_prompts([""] * 3), model.embed_prompts([""])
        hook.remove()
        assert len(calls) == 1
        assert first.shape == (3, 77, 16)
        assert torch.equal(first[2], second[0])

    @pytest.mark.parametrize("captions", ["a cat", [None], ["a cat", 3]])
    def test_anything_but_a_list_of_text_is_refused(self, tiny_backbone, captions):
        with pytest.raises(ValueError, match=r"captions: expected a list of str, with \"\" for none, got "):
            tiny_backbone.embed_prompts(captions)


class TestTimesteps:
    @pytest.mark.parametrize("timestep", [-1, 0, 166, 830])
    def test_is_what_the_u_net_makes_of_it(self, tiny_backbone, timestep):
        seen = []
        hook = tiny_backbone.unet.time_embedding.register_forward_hook(lambda m, inputs, output: seen.append(output))
        with torch.no_grad():
            tiny_backbone.unet(torch.zeros(3, 4, 8, 8), timestep, encoder_hidden_states=torch.zeros(3, 77, 16))
        hook.remove()
        given = tiny_backbone.embed_timestep(timestep, 3)
        assert given.shape == (3, 32)
        torch.testing.assert_close(given, seen[0])

    def test_timesteps_differ(self, tiny_backbone):
        early, late = (tiny_backbone.embed_timestep(t, 1) for t in (0, 830))
        assert (early - late).abs().max() > 1e-3


@pytest.mark.parametrize(("most", "inside"), [(96, 1), (1280, 2)])
def test_only_a_small_backbone_has_one_thread(tiny_backbone, monkeypatch, most, inside):
    monkeypatch.setattr(Backbone, "channels", [32, most])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with tiny_backbone.threads():
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
