"""Fit, resume, score, edit and refuse, on a tiny random backbone; and what ships with the method."""

import json
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modules import part

from salbench import code_hash, edits, registry
from salbench.datasets import Dataset, load
from salbench.edits import NewEdit, Writer
from salbench.evaluation import Evaluation, Skipped
from salbench.metrics import auc
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodProblem
from salbench.runtime import Runtime
from salbench.sample import Edited, Sample
from salbench.training import checkpoint, loop
from salbench.training.checkpoint import CheckpointProblem
from salbench.training.data import TrainingSet
from salbench.training_plan import Plan

# Two epochs of a few steps.
SHORT = {"steps": None, "epochs": 2, "batch_size": 2, "validation_share": 0.3, "warmup_steps": 1, "losses": {"kl": 1.0}}


def picture(seed, size):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)


def make_samples(number, size=(48, 64), **others):
    rng = np.random.default_rng(number)
    return [
        Sample(
            id=f"picture_{number}_{i}", size=size, read_image=lambda i=i: picture(i, size), sigma=2.0,
            fixations=rng.uniform((0, 0), (size[1], size[0]), (5, 2)), **others,
        )
        for i in range(number)
    ]  # fmt: skip


def evaluation(samples, out, backbone):
    dataset = Dataset("toy", samples, gaze="none", licence="none", citation="none")
    return Evaluation(dataset, PROTOCOLS["tuebingen"], out, Runtime(backbone=backbone, workers=4, progress=False))


@pytest.fixture(scope="session")
def make(tiny_backbone_folder, tiny_backbone):
    """A function that makes the method on the tiny backbone, or on another, with one diffusion step to save time."""

    def make(spec="diffusion_readout", backbone=tiny_backbone_folder):
        method = registry.create(spec, Runtime(backbone=str(backbone), progress=False))
        method.timesteps = 1
        if backbone == tiny_backbone_folder:
            method.frozen = tiny_backbone  # loaded once for all
        return method

    return make


@pytest.fixture(scope="module")
def samples():
    return make_samples(5)


@pytest.fixture(scope="module")
def fitted(make, samples, tmp_path_factory):
    """(method, folder of its training). Nothing may change them."""
    folder = tmp_path_factory.mktemp("fitted")
    return make().fit(samples, Plan(folder, recipe=SHORT)), folder


class TestFit:
    def test_the_record_tells_backbone_and_size(self, fitted):
        method, folder = fitted
        identity = json.loads((folder / "best.json").read_text())["identity"]
        assert identity["setup"] == {"backbone": method.frozen.hash, "timesteps": 1}
        assert identity["recipe"]["size"] == [64, 64], "what the backbone was trained on"

    def test_predicts_a_log_density(self, fitted, samples):
        prediction = fitted[0].predict(samples[0].blind())
        assert prediction.shape == (64, 64)
        assert np.exp(prediction.astype(float)).sum() == pytest.approx(1, abs=1e-4)

    def test_is_scored_from_its_folder(self, make, fitted, samples, tmp_path, run_made):
        method, folder = fitted
        result = run_made(evaluation(samples, tmp_path, method.place), make(f"diffusion_readout:{folder}"))
        assert (result.n_failed, result.n_images) == (0, 5)
        assert result.identity["weights"] == method.weights_hash()
        assert [note.rstrip(".") for note in result.notes] == [
            f"trained on {len(loop.split(samples, 0.3)[0])} images",
            "trained without captions or annotated objects",
        ]

    @pytest.mark.parametrize(
        ("annotated", "note"),
        [
            ({"caption": "a cat"}, "trained without annotated objects"),
            ({"boxes": np.empty((0, 4)), "categories": np.empty(0, int)}, "trained without captions"),
        ],
    )
    def test_notes_tell_what_the_data_lacked(self, fitted, annotated, note):
        counts = replace(
            fitted[0].trained.record.data, captions=int("caption" in annotated), boxes=int("boxes" in annotated)
        )
        assert fitted[0].notes_on(counts)[1:] == [f"{note}."]

    def test_with_edits(self, make, samples, tmp_path, monkeypatch):
        """Edited images are shown beside originals, and the notes tell of them."""
        writer = Writer(tmp_path / "edits", {})
        for sample in samples:
            made = [NewEdit("brightness", 0.5, 0.5, 1, 255 - sample.image)]
            writer.add(sample.id, sample.image, {"brightness": np.ones(sample.size)}, made)
        kept, shown = type(make()).loss, []

        def loss(self, network, batch):
            shown.extend(batch.ids)
            return kept(self, network, batch)

        monkeypatch.setattr(type(make()), "loss", loss)
        plan = Plan(tmp_path / "run", edits=edits.read(tmp_path / "edits"), recipe=SHORT | {"p": 0.5, "epochs": 1})
        method = make().fit(samples, plan)
        edited = [id for id in shown if id.endswith("@brightness_0.5")]
        assert 0 < len(edited) < len(shown)
        assert method.notes()[1].startswith("trained with edits: ")

    def test_a_killed_training_ends_with_the_same_weights(self, make, fitted, samples, tmp_path, monkeypatch):
        kept, calls = loop.Trainer._train_on, []

        def killed(self, batch):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return kept(self, batch)

        plan = Plan(tmp_path, recipe=SHORT)
        monkeypatch.setattr(loop.Trainer, "_train_on", killed)
        with pytest.raises(KeyboardInterrupt):
            make().fit(samples, plan)
        monkeypatch.setattr(loop.Trainer, "_train_on", kept)
        make().fit(samples, plan)
        whole, again = (checkpoint.read(folder / "last.safetensors") for folder in (fitted[1], tmp_path))
        assert len(whole.record.history) == 2
        assert [name for name, t in whole.tensors.items() if not torch.equal(t, again.tensors[name])] == []

    def test_the_backbone_is_frozen_and_not_in_the_checkpoint(self, fitted, tiny_backbone_folder):
        method, folder = fitted
        before = part("backbone").Backbone.load(tiny_backbone_folder).unet.state_dict()
        assert all(torch.equal(t, before[n]) for n, t in method.frozen.unet.state_dict().items())
        tensors = checkpoint.read(folder / "best.safetensors").tensors
        assert {name.partition(".")[0] for name in tensors} == {"aggregation", "saliency", "low_level", "high_level"}

    def test_a_narrow_backbone_learns_faster(self, fitted):
        """The paper's rate is for 384 channels; the tiny backbone has 96."""
        assert fitted[0].recipe.learning_rate == pytest.approx(4e-4)

    @pytest.mark.parametrize("name", ["diffusion_readout", "diffusion_readout_fast"])
    def test_saliency_learns_at_the_rate_of_the_paper(self, name):
        """Section 5.1: 20k steps for the readouts, then 22k for saliency at 1e-4. The second stage starts there."""
        recipe = registry.get(name).recipe
        assert [loop.stage_at(recipe, recipe.steps, step).index for step in (0, 19_999, 20_000, 41_999)] == [0, 0, 1, 1]
        rates = [recipe.learning_rate * loop.share_of_peak(recipe, recipe.steps, s) for s in range(20_000, 42_000)]
        assert max(rates) == pytest.approx(1e-4, rel=1e-3)
        assert rates.index(max(rates)) < 100
        assert np.mean(rates) == pytest.approx(0.505e-4, rel=0.01)

    def test_captions_are_the_prompts(self, make, samples):
        method = make()
        network = method.build_network().eval()
        plain = method.log_density(network, samples[0])
        np.testing.assert_array_equal(method.log_density(network, replace(samples[0], caption="")), plain)
        assert np.abs(method.log_density(network, replace(samples[0], caption="a cat")) - plain).max() > 1e-6


class TestFeatures:
    def test_of_trained_weights(self, fitted, samples):
        maps = fitted[0].features(samples[0].blind())
        assert {title: m.shape for title, m in maps.items()} == {
            "high-level": (96, 8, 8), "low-level": (96, 8, 8), "saliency": (1, 8, 8),
        }  # fmt: skip
        assert 0 < maps["saliency"].min() <= maps["saliency"].max() < 1

    def test_before_any_training_they_are_called_untrained_and_repeat(self, make, samples):
        first, again = (make().features(samples[0].blind()) for _ in range(2))
        assert list(first) == ["high-level (untrained)", "low-level (untrained)", "saliency (untrained)"]
        assert first["high-level (untrained)"].shape == (96, 8, 8)
        for title, features in first.items():
            np.testing.assert_array_equal(again[title], features)


def batch_of(samples, stage):
    (batch,) = TrainingSet(samples, (64, 64)).batches(0, len(samples))
    return batch.part(0, 1, "cpu")._replace(stage=stage)


class TestLoss:
    @pytest.fixture
    def method(self, fitted):
        """With losses of a recipe of its own."""
        return copy(fitted[0])

    @pytest.fixture
    def network(self, method):
        torch.manual_seed(0)
        return method.build_network()

    @pytest.mark.parametrize(("stage", "learns"), [(0, False), (1, True)])
    def test_saliency_is_learned_in_the_second_stage(self, method, network, samples, stage, learns):
        method.loss(network, batch_of(samples[:2], stage)).backward()
        grads = {name: p.grad for name, p in network.named_parameters()}
        assert all(g is not None for g in grads.values())
        assert learns == any(g.any() for name, g in grads.items() if name.startswith("saliency."))
        assert any(g.any() for name, g in grads.items() if name.startswith("low_level."))
        assert any(g.any() for name, g in grads.items() if name.startswith("aggregation.low."))

    @pytest.mark.parametrize(("stage", "passes"), [(0, 1), (1, 2)])
    def test_edited_images_have_their_own_loss_in_the_second_stage(
        self, method, network, samples, stage, passes, monkeypatch
    ):
        """Only then are the originals looked at."""
        first, second = samples[:2]
        first = replace(first, edit=Edited("dark", 1.0, 1, lambda: np.ones(first.size), first.read_image))
        batch, kept, images = batch_of([first, second], stage), method._extractor.steps, []
        monkeypatch.setattr(
            method._extractor, "steps", lambda given, captions: images.append(len(given)) or kept(given, captions)
        )
        losses = {}
        for name in ("agreement", "kl"):
            method.recipe = replace(method.recipe, edit_losses={name: 1.0})
            torch.manual_seed(0)  # of the areas
            losses[name] = method.loss(network, batch).item()
        assert images == [*[2, 1][:passes], 2]
        assert (losses["agreement"] == losses["kl"]) == (passes == 1)

    def test_the_deviation_is_of_unedited_images(self, method, network, samples):
        first = replace(samples[0], edit=Edited("dark", 1.0, 1, lambda: np.ones(samples[0].size), lambda: None))
        method.loss(network, batch_of(samples[1:3], 0))
        before = {name: buffer.clone() for name, buffer in network.low_level.named_buffers()}
        assert all(b.any() for b in before.values())
        batch = batch_of(samples[:1] * 2, 0)._replace(samples=[first, first])
        method.loss(network, batch)
        assert all(torch.equal(buffer, before[name]) for name, buffer in network.low_level.named_buffers())
        assert len(before) == 4

    @pytest.mark.parametrize("annotated", [False, True])
    def test_properties_are_read_on_random_patches_with_and_without_objects(
        self, method, network, annotated, monkeypatch
    ):
        boxes = {"boxes": np.array([[2.0, 2.0, 40.0, 40.0]]), "categories": np.array([17])} if annotated else {}
        kept, areas = network.forward, []
        monkeypatch.setattr(network, "forward", lambda steps, given=None: areas.append(given) or kept(steps, given))
        method.loss(network, batch_of(make_samples(2, **boxes), 0))
        assert areas[0].patches.shape == (4, 2, 4)
        assert len(areas[0].patches.flatten(0, 1).unique(dim=0)) == 8
        object = [2 / 64, 2 / 48, 40 / 64, 40 / 48] if annotated else [0, 0, 1, 1]
        assert areas[0].objects.tolist() == [pytest.approx(object)] * 2

    @pytest.mark.parametrize("annotated", [False, True])
    def test_categories_are_learned_where_objects_are_annotated(self, method, network, annotated):
        boxes = {"boxes": np.array([[2.0, 2.0, 40.0, 40.0]]), "categories": np.array([17])} if annotated else {}
        method.loss(network, batch_of(make_samples(2, **boxes), 0)).backward()
        assert annotated == any(p.grad.any() for p in network.high_level.parameters())

    def test_the_readouts_learn_what_they_are_asked(self, method, network, samples):
        batch, losses = batch_of(samples[:2], 0), []
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        with method._extractor.keeping(2):  # their features, which stay the same
            for step in range(8):
                torch.manual_seed(step)
                loss = method.loss(network, batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:2])


class TestAreas:
    def drawn(self, sample, number=60):
        torch.manual_seed(0)
        return part("areas").draw_objects([sample] * number, "cpu")

    def test_an_object_that_is_large_enough(self):
        boxes = np.array([[0.0, 0.0, 8.0, 8.0], [10.0, 12.0, 32.0, 24.0], [0.0, 0.0, 64.0, 48.0]])
        (sample,) = make_samples(1, boxes=boxes, categories=np.array([1, 17, 44]))
        shares, categories = self.drawn(sample)
        assert set(categories.tolist()) == {17, 44}, "the first covers 2 % of the image"
        assert shares[categories == 17][0].tolist() == pytest.approx([10 / 64, 12 / 48, 0.5, 0.5])

    def test_no_object_is_the_whole_image_of_category_0(self):
        (sample,) = make_samples(1, boxes=np.empty((0, 4)), categories=np.empty(0, int))
        shares, categories = self.drawn(sample, 3)
        assert shares.tolist() == [[0, 0, 1, 1]] * 3
        assert categories.tolist() == [0, 0, 0]

    def test_no_annotation_is_the_whole_image_of_unknown_category(self):
        shares, categories = self.drawn(make_samples(1)[0], 2)
        assert shares.tolist() == [[0, 0, 1, 1]] * 2
        assert categories.tolist() == [-1, -1]

    def test_patches(self):
        torch.manual_seed(0)
        patches = part("areas").draw_patches(500, "cpu")
        assert patches.shape == (4, 500, 4)
        patches = patches.flatten(0, 1)
        assert len(patches.unique(dim=0)) == 2000
        assert (patches[:, :2] >= 0).all()
        assert (patches[:, :2] + patches[:, 2:] <= 1).all()
        sides = patches[:, 2:]
        assert 0.1 <= sides.min() < 0.102 < 0.73 < sides.max() <= 0.7501
        assert sides.median().item() == pytest.approx((0.1 * 0.75) ** 0.5, rel=0.05), "half are smaller than 27 %"


class TestWhatIsMissing:
    @pytest.mark.parametrize("how", ["given", "environment"])
    def test_no_weights_for_a_backbone_is_a_skip_with_the_command(self, how, samples, tmp_path, monkeypatch):
        """The weights that come with the method are of its own small backbone."""
        if how == "environment":
            monkeypatch.setenv("SALBENCH_BACKBONE", "some/model")
        found = evaluation(samples, tmp_path, "some/model" if how == "given" else None).run("diffusion_readout")
        assert isinstance(found, Skipped)
        assert "fit --methods diffusion_readout --dataset salicon_train --backbone some/model" in found.reason

    def test_no_backbone_is_a_skip_with_the_command(self, fitted, samples, tmp_path):
        nowhere = str(tmp_path / "no" / "such" / "place")
        found = evaluation(samples, tmp_path / "r", nowhere).run(f"diffusion_readout:{fitted[1]}")
        assert isinstance(found, Skipped)
        assert "hf download" in found.reason

    def test_weights_of_another_backbone_are_refused(self, make, fitted, samples, tiny_backbone_folder, tmp_path):
        other = Path(shutil.copytree(tiny_backbone_folder, tmp_path / "other"))
        schedule = other / "scheduler" / "scheduler_config.json"
        schedule.write_text(schedule.read_text().replace("0.012", "0.013"))
        method = make(f"diffusion_readout:{fitted[1]}", other)
        with pytest.raises(CheckpointProblem, match=r"best\.safetensors: .*backbone \w{16} instead of \w{16}"):
            method.predict(samples[0])


@pytest.fixture(scope="module")
def shipped_backbone():
    return registry.create("diffusion_readout").frozen


@pytest.fixture(scope="module", params=["diffusion_readout", "diffusion_readout_fast"])
def shipped(request, shipped_backbone):
    method = registry.create(request.param)
    method.frozen = shipped_backbone
    return method


class TestShipped:
    def test_is_small(self, shipped):
        files = [p for p in Path(shipped.place).rglob("*") if p.is_file()]
        assert sum(p.stat().st_size for p in files) < 15e6
        assert shipped.weights.stat().st_size < 5e6

    def test_weights_are_of_the_backbone(self, shipped):
        """A file of it that is changed by a line end would change its hash."""
        identity = checkpoint.read(shipped.weights).record.identity
        assert identity["setup"]["backbone"] == shipped.frozen.hash

    def test_says_that_it_is_not_stable_diffusion(self, shipped):
        assert any("not Stable Diffusion" in note for note in shipped.notes())

    def test_knows_where_people_look_in_popout(self, shipped):
        """Untrained weights are at 0.5; these have never seen a search display."""
        scores = []
        for sample in load("popout").samples[::20]:
            prepared = PROTOCOLS["tuebingen"].prepare(shipped.predict(sample.blind()), "log_density", sample.size)
            scores.append(auc(prepared.point_map.array, sample.fixations))
        assert np.mean(scores) > 0.6

    def test_random_weights_are_for_plumbing(self, shipped, shipped_backbone, samples):
        """One prediction shows how often each method calls the U-Net, too."""
        method, calls = registry.create(shipped.name, Runtime(init="random")), []
        method.frozen = shipped_backbone
        assert method.weights_hash() is None
        hook = shipped_backbone.unet.register_forward_pre_hook(lambda *_: calls.append(1))
        assert np.exp(method.predict(samples[0].blind())).sum() == pytest.approx(1, rel=1e-4)
        hook.remove()
        assert len(calls) == {"diffusion_readout": 6, "diffusion_readout_fast": 1}[shipped.name]


def test_the_width_follows_the_backbone():
    network = part("network").ReadoutNetwork
    assert network([1280, 640, 320], 1280, steps=6).aggregation.high.blocks[0].expand.conv.out_channels == 384
    assert network([256, 128], 64, steps=1).aggregation.high.blocks[0].expand.conv.out_channels == 96


class TestFast:
    def test_edits_are_left_to_the_other(self, samples):
        with pytest.raises(MethodProblem, match="diffusion_readout_fast cannot edit images"):
            registry.create("diffusion_readout_fast").edit(samples[0], {"contrast": [2.0]})

    def test_weights_of_the_other_are_refused(self, shipped_backbone, samples):
        method = registry.create(f"diffusion_readout_fast:{registry.get('diffusion_readout').weights}")
        method.frozen = shipped_backbone
        with pytest.raises(CheckpointProblem, match="timesteps 1 instead of 6"):
            method.predict(samples[0].blind())

    def test_weights_of_another_network_are_refused(self):
        method = registry.create(f"diffusion_readout:{registry.get('lite').weights}")
        with pytest.raises(CheckpointProblem, match="expected weights of diffusion_readout, got"):
            method.weights_hash()

    def test_its_code_is_the_other_s_too(self):
        file = registry.find("diffusion_readout_fast")
        names = {path.name for path in code_hash._relative([file], file.parents[1])}
        assert {"__init__.py", "network.py", "aggregation.py", "extraction.py"} <= names
