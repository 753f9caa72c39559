"""Features of images, extracted once where they can be kept."""

import pytest
import torch
from modules import part

extraction = part("extraction")
features = part("features")
STEPS = 2


@pytest.fixture
def images():
    return torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def calls(tiny_backbone, monkeypatch):
    """Images in each call of the encoder."""
    calls, encode = [], type(tiny_backbone).encode
    monkeypatch.setattr(
        type(tiny_backbone), "encode", lambda self, images: calls.append(len(images)) or encode(self, images)
    )
    return calls


def assert_same(steps, others):
    torch.testing.assert_close(list(steps), list(others), rtol=1e-4, atol=1e-5)


def directly(backbone, images, captions):
    """What `invert` gives, without the extractor."""
    latents, prompts = backbone.encode(images), backbone.embed_prompts([caption or "" for caption in captions])
    steps = features.invert(backbone, latents, prompts, features.ddim_timesteps(backbone, STEPS))
    return [(step.features, backbone.embed_timestep(step.timestep, len(images))) for step in steps]


class TestSteps:
    def test_are_those_of_the_inversion(self, tiny_backbone, images):
        captions = ["a cat", None, "", "a bus"]
        assert_same(
            extraction.Extractor(tiny_backbone, STEPS).steps(images, captions),
            directly(tiny_backbone, images, captions),
        )

    def test_come_one_by_one(self, tiny_backbone, images, monkeypatch):
        """The second step is not computed before it is asked for: a prediction holds one step's features."""
        seen, step = [], features._step
        monkeypatch.setattr(features, "_step", lambda *given: seen.append(given[-1]) or step(*given))
        steps = extraction.Extractor(tiny_backbone, STEPS).steps(images, [None] * 4)
        next(steps)
        assert len(seen) == 1


class TestKeeping:
    def test_extracts_an_image_once_and_gives_the_same(self, tiny_backbone, images, calls):
        extractor, captions = extraction.Extractor(tiny_backbone, STEPS), [None] * 3
        with extractor.keeping(4):
            list(extractor.steps(images[:3], captions))
            kept = list(extractor.steps(images[1:], captions))
        assert calls == [1, 1, 1, 1]
        assert_same(kept, directly(tiny_backbone, images[1:], captions))

    def test_tells_captions_apart(self, tiny_backbone, images, calls):
        extractor = extraction.Extractor(tiny_backbone, STEPS)
        with extractor.keeping(4):
            for caption in ("a cat", "a bus", "a cat", None, ""):
                list(extractor.steps(images[:1], [caption]))
        assert calls == [1, 1, 1]

    def test_nothing_where_not_all_would_fit(self, tiny_backbone, images, calls, monkeypatch):
        extractor = extraction.Extractor(tiny_backbone, STEPS)
        (layers, _), *_ = extractor.steps(images[:1], [None])
        monkeypatch.setattr(extraction, "BUDGET", 4 * STEPS * sum(layer.nbytes for layer in layers) - 1)
        calls.clear()
        with extractor.keeping(4):
            for _ in range(2):
                assert_same(extractor.steps(images[:2], [None] * 2), directly(tiny_backbone, images[:2], [None] * 2))
        assert calls == [2, 1, 2, 2, 2]  # `directly`, then one to measure

    def test_no_more_than_was_announced(self, tiny_backbone, images, calls):
        extractor = extraction.Extractor(tiny_backbone, STEPS)
        with extractor.keeping(1):
            for _ in range(2):
                list(extractor.steps(images[:2], [None] * 2))
        assert calls == [1, 1, 1]

    def test_ends_with_the_block(self, tiny_backbone, images, calls):
        extractor = extraction.Extractor(tiny_backbone, STEPS)
        with extractor.keeping(4):
            list(extractor.steps(images, [None] * 4))
        list(extractor.steps(images, [None] * 4))
        assert calls == [1, 1, 1, 1, 4]

    def test_prediction_leaves_nothing_that_training_cannot_use(self, tiny_backbone, images):
        extractor = extraction.Extractor(tiny_backbone, STEPS)
        with extractor.keeping(4):
            with torch.inference_mode():
                list(extractor.steps(images, [None] * 4))
            steps = extractor.steps(images, [None] * 4)
            assert not any(layer.is_inference() for layers, _ in steps for layer in layers)
