"""The whole line on a tiny random backbone: fit, checkpoint, resume, score."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modules import part

from salbench import edits, registry
from salbench.datasets import Dataset, load
from salbench.edits import NewEdit, Writer
from salbench.evaluate import Evaluation, Skipped
from salbench.metrics import auc
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodProblem
from salbench.sample import Edited, Sample
from salbench.training import checkpoint, loop
from salbench.training.checkpoint import CheckpointProblem
from salbench.training.data import TrainingSet

METHODS = Path(__file__).resolve().parents[2] / "methods"


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
    return Evaluation(dataset, PROTOCOLS["tuebingen"], out, backbone=backbone, workers=4, progress=False)


@pytest.fixture(scope="module")
def samples():
    return make_samples(8)


@pytest.fixture
def make(tiny_backbone_folder, tmp_path):
    """A function of a folder's name: a method on the tiny backbone, to be trained for two epochs of a few steps."""

    def method(folder="run"):
        new = registry.create("diffusion_readout")
        new.backbone, new.folder = tiny_backbone_folder, tmp_path / folder
        new.recipe = replace(
            new.recipe, steps=None, epochs=2, batch_size=2, validation_share=0.4, warmup_steps=1, losses={"kl": 1.0}
        )
        return new

    return method


class TestFit:
    def test_trains_and_scores(self, make, samples, tmp_path):
        method = make().fit(samples)
        facts = json.loads((tmp_path / "run" / "best.json").read_text())
        assert facts["key"]["setup"] == {"backbone": method.frozen.hash, "timesteps": 6}
        assert facts["key"]["recipe"]["size"] == [64, 64], "what the backbone was trained on"
        first = method.predict(samples[0].blind())
        assert first.shape == (64, 64)
        assert np.exp(first.astype(float)).sum() == pytest.approx(1, abs=1e-4)
        result = evaluation(samples, tmp_path / "r", method.backbone).run(f"diffusion_readout:{tmp_path / 'run'}")
        assert (result.n_failed, result.n_images) == (0, 8)
        assert result.key.weights == method.weights_hash()
        assert [note.split(",")[0] for note in result.notes] == [
            f"trained on {len(loop.split(samples, 0.4)[0])} images.",
            "trained without captions",
            "trained without annotated objects: on random patches",
        ]  # fmt: skip

    def test_with_edits(self, make, samples, tmp_path, monkeypatch):
        """They are shown, beside originals, and the notes tell of them."""
        writer = Writer(tmp_path / "edits", {})
        for sample in samples:
            made = [NewEdit("brightness", 0.5, 0.5, 1, 255 - sample.image)]
            writer.add(sample.id, sample.image, {"brightness": np.ones(sample.size)}, made)
        kept, shown = type(make()).loss, []

        def loss(self, network, batch):
            shown.extend(batch.ids)
            return kept(self, network, batch)

        monkeypatch.setattr(type(make()), "loss", loss)
        method = make()
        method.recipe = replace(method.recipe, p=0.5)
        method.fit(samples, edits=edits.read(tmp_path / "edits"))
        edited = [id for id in shown if id.endswith("@brightness_0.5")]
        assert 0 < len(edited) < len(shown)
        assert method.notes()[1].startswith("trained with edits: ")

    def test_a_killed_training_ends_with_the_same_weights(self, make, samples, tmp_path, monkeypatch):
        make("whole").fit(samples)
        kept, calls = loop.Trainer._train_on, []

        def killed(self, batch):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return kept(self, batch)

        monkeypatch.setattr(loop.Trainer, "_train_on", killed)
        with pytest.raises(KeyboardInterrupt):
            make("killed").fit(samples)
        monkeypatch.undo()
        make("killed").fit(samples)
        whole, facts = checkpoint.load(tmp_path / "whole" / "last.safetensors")
        again, _ = checkpoint.load(tmp_path / "killed" / "last.safetensors")
        assert len(facts["history"]) == 2
        assert [name for name, t in whole.items() if not torch.equal(t, again[name])] == []

    def test_the_backbone_is_frozen_and_not_in_the_checkpoint(self, make, samples, tmp_path):
        method = make()
        before = {n: t.clone() for n, t in method.frozen.unet.state_dict().items()}
        method.fit(samples)
        assert all(torch.equal(t, before[n]) for n, t in method.frozen.unet.state_dict().items())
        tensors, _ = checkpoint.load(tmp_path / "run" / "best.safetensors")
        assert {name.partition(".")[0] for name in tensors} == {"aggregation", "saliency", "low_level", "high_level"}

    def test_captions_are_the_prompts(self, make, samples):
        method = make()
        network = method.build_network().eval()
        method.recipe = method.recipe.at((64, 64))
        plain = method.log_density(network, samples[0])
        np.testing.assert_array_equal(method.log_density(network, replace(samples[0], caption="")), plain)
        assert np.abs(method.log_density(network, replace(samples[0], caption="a cat")) - plain).max() > 1e-6


class TestFeatures:
    def test_of_trained_weights(self, make, samples):
        maps = make().fit(samples).features(samples[0].blind())
        assert {title: m.shape for title, m in maps.items()} == {
            "high-level": (96, 8, 8), "low-level": (96, 8, 8), "saliency": (1, 8, 8),
        }  # fmt: skip
        assert 0 < maps["saliency"].min() <= maps["saliency"].max() < 1

    def test_before_any_training_they_are_called_untrained_and_repeat(self, make, samples):
        first, again = (make().features(samples[0].blind()) for _ in range(2))
        assert list(first) == ["high-level (untrained)", "low-level (untrained)", "saliency (untrained)"]
        for title, features in first.items():
            np.testing.assert_array_equal(again[title], features)


def batch_of(samples, progress):
    (batch,) = TrainingSet(samples, (64, 64)).batches(0, len(samples))
    return batch.part(0, 1, "cpu")._replace(progress=progress)


class TestLoss:
    @pytest.fixture
    def network(self, make):
        torch.manual_seed(0)
        return make().build_network()

    @pytest.mark.parametrize(("progress", "learns"), [(0.47, False), (0.48, True)])
    def test_saliency_is_learned_in_the_second_stage(self, make, network, samples, progress, learns):
        make().loss(network, batch_of(samples[:2], progress)).backward()
        grads = {name: p.grad for name, p in network.named_parameters()}
        assert all(g is not None for g in grads.values())
        assert learns == any(g.any() for name, g in grads.items() if name.startswith("saliency."))
        assert any(g.any() for name, g in grads.items() if name.startswith("low_level."))
        assert any(g.any() for name, g in grads.items() if name.startswith("aggregation.low."))

    @pytest.mark.parametrize(("progress", "passes"), [(0.47, 1), (0.48, 2)])
    def test_edited_images_have_their_own_loss_in_the_second_stage(self, make, network, samples, progress, passes):
        """And the originals are looked at then only."""
        first, second = samples[:2]
        first = replace(first, edit=Edited("dark", 1.0, 1, lambda: np.ones(first.size), first.read_image))
        method, batch = make(), batch_of([first, second], progress)
        kept, images = method._extractor.steps, []
        method._extractor.steps = lambda given, captions: images.append(len(given)) or kept(given, captions)
        losses = {}
        for name in ("agreement", "kl"):
            method.recipe = replace(method.recipe, edit_losses={name: 1.0})
            torch.manual_seed(0)  # of the areas
            losses[name] = method.loss(network, batch).item()
        assert images == [*[2, 1][:passes], 2]
        assert (losses["agreement"] == losses["kl"]) == (passes == 1)

    def test_the_deviation_is_of_unedited_images(self, make, network, samples):
        first = replace(samples[0], edit=Edited("dark", 1.0, 1, lambda: np.ones(samples[0].size), lambda: None))
        make().loss(network, batch_of(samples[1:3], 0.1))
        before = network.low_level.mean.clone()
        batch = batch_of(samples[:1] * 2, 0.1)._replace(samples=[first, first])
        make().loss(network, batch)
        assert torch.equal(network.low_level.mean, before)

    @pytest.mark.parametrize("annotated", [False, True])
    def test_categories_are_learned_where_objects_are_annotated(self, make, network, annotated):
        boxes = {"boxes": np.array([[2.0, 2.0, 40.0, 40.0]]), "categories": np.array([17])} if annotated else {}
        make().loss(network, batch_of(make_samples(2, **boxes), 0.0)).backward()
        assert annotated == any(p.grad.any() for p in network.high_level.parameters())

    def test_the_readouts_learn_what_they_are_asked(self, make, network, samples):
        method, batch = make(), batch_of(samples[:2], 0.0)
        optimizer, losses = torch.optim.AdamW(network.parameters(), lr=3e-3), []
        for step in range(12):
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
        return part("areas").draw([sample] * number, "cpu")

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

    def test_no_annotation_is_a_random_patch_of_unknown_category(self):
        shares, categories = self.drawn(make_samples(1)[0])
        assert set(categories.tolist()) == {-1}
        assert len({tuple(s) for s in shares.tolist()}) == 60
        assert (shares[:, :2] >= 0).all()
        assert (shares[:, :2] + shares[:, 2:] <= 1).all()
        assert 0.25 <= shares[:, 2:].min() < 0.3 < 0.7 < shares[:, 2:].max() <= 0.75


class TestWhatIsMissing:
    @pytest.mark.parametrize("how", ["given", "environment"])
    def test_no_weights_for_a_backbone_is_a_skip_with_the_command(self, how, samples, tmp_path, monkeypatch):
        """The weights that come with the method are of its own small backbone."""
        if how == "environment":
            monkeypatch.setenv("SALBENCH_BACKBONE", "some/model")
        found = evaluation(samples, tmp_path, "some/model" if how == "given" else None).run("diffusion_readout")
        assert isinstance(found, Skipped)
        assert "fit --methods diffusion_readout --dataset salicon_train --backbone some/model" in found.reason

    def test_no_backbone_is_a_skip_with_the_command(self, make, samples, tmp_path):
        make().fit(samples)
        nowhere = str(tmp_path / "no" / "such" / "place")
        found = evaluation(samples, tmp_path / "r", nowhere).run(f"diffusion_readout:{tmp_path / 'run'}")
        assert isinstance(found, Skipped)
        assert "hf download" in found.reason

    def test_weights_of_another_backbone_are_refused(self, make, samples, tiny_backbone_folder, tmp_path):
        make().fit(samples)
        copy = shutil.copytree(tiny_backbone_folder, tmp_path / "other")
        schedule = copy / "scheduler" / "scheduler_config.json"
        schedule.write_text(schedule.read_text().replace("0.012", "0.013"))
        method = registry.create(f"diffusion_readout:{tmp_path / 'run'}")
        method.backbone = copy
        with pytest.raises(ValueError, match=r"best\.safetensors: trained with another backbone, \w{16}, than is used"):
            method.predict(samples[0])


@pytest.fixture(scope="module", params=["diffusion_readout", "diffusion_readout_fast"])
def shipped(request):
    return registry.create(request.param)


class TestShipped:
    def test_is_small(self, shipped):
        files = [p for p in Path(shipped.place).rglob("*") if p.is_file()]
        assert sum(p.stat().st_size for p in files) < 15e6
        assert shipped.weights.stat().st_size < 5e6

    def test_weights_are_of_the_backbone(self, shipped):
        """A file of it that is changed by a line end would change its hash."""
        _, facts = checkpoint.load(shipped.weights)
        assert facts["key"]["setup"]["backbone"] == shipped.frozen.hash

    def test_says_that_it_is_not_stable_diffusion(self, shipped):
        assert "its backbone is not Stable Diffusion but a small one, trained on 600 pictures." in shipped.notes()

    def test_knows_where_people_look_in_popout(self, shipped):
        """Untrained weights are at 0.5; these have never seen a search display."""
        scores = []
        for sample in load("popout").samples[::5]:
            prepared = PROTOCOLS["tuebingen"].prepare(shipped.predict(sample.blind()), "log_density", sample.size)
            scores.append(auc(prepared.point_map, sample.fixations))
        assert np.mean(scores) > 0.6

    def test_random_weights_are_for_plumbing(self, samples, shipped):
        method = registry.create(shipped.name)
        method.init_random()
        assert method.weights_hash() is None
        assert np.exp(method.predict(samples[0].blind())).sum() == pytest.approx(1, rel=1e-4)


def test_a_narrow_backbone_learns_faster(make, samples):
    """The paper's rate is for 384 channels; the tiny backbone has 96."""
    method = make()
    method.fit(samples)
    assert method.recipe.learning_rate == pytest.approx(4e-4)


def test_the_width_follows_the_backbone():
    network = part("network").ReadoutNetwork
    assert network([1280, 640, 320], 1280, steps=6).aggregation.high.blocks[0].expand.conv.out_channels == 384
    assert network([256, 128], 64, steps=1).aggregation.high.blocks[0].expand.conv.out_channels == 96


class TestFast:
    @pytest.mark.parametrize(("name", "expected"), [("diffusion_readout", 6), ("diffusion_readout_fast", 1)])
    def test_calls_of_the_unet(self, name, expected, samples):
        method, calls = registry.create(name), []
        hook = method.frozen.unet.register_forward_pre_hook(lambda *_: calls.append(1))
        method.predict(samples[0].blind())
        hook.remove()
        assert len(calls) == expected

    def test_edits_are_left_to_the_other(self, samples):
        with pytest.raises(MethodProblem, match="diffusion_readout_fast cannot edit images"):
            registry.create("diffusion_readout_fast").edit(samples[0], {"contrast": [2.0]})

    def test_weights_of_the_other_are_refused(self, samples):
        method = registry.create(f"diffusion_readout_fast:{registry.get('diffusion_readout').weights}")
        with pytest.raises(CheckpointProblem, match="trained with another timesteps, 6, than is used here, 1"):
            method.predict(samples[0].blind())

    def test_weights_of_another_network_are_refused(self):
        method = registry.create(f"diffusion_readout:{registry.get('lite').weights}")
        with pytest.raises(CheckpointProblem, match="expected weights of diffusion_readout, got another network's"):
            method.weights_hash()

    def test_its_code_is_the_other_s_too(self):
        names = [file.name for file in registry._shared([registry.find("diffusion_readout_fast")], METHODS)]
        assert {"__init__.py", "network.py", "aggregation.py", "extraction.py"} <= set(names)
