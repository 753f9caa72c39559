"""A learned method of one's own, from `fit` to a scored result."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Barrier, Event

import numpy as np
import pytest
import torch

from salbench import registry, tables
from salbench.augment import add_folder as add_augmentations
from salbench.augment import catalog
from salbench.datasets import Dataset
from salbench.evaluation import Broken, Evaluation, Skipped
from salbench.metrics import METRICS
from salbench.prediction import predict_stream
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.training import LearnedMethod, Recipe, TrainingProblem, checkpoint
from salbench.training.checkpoint import CheckpointProblem, Counts, EditCounts
from salbench.training.data import NoTrainingData
from salbench.training.loop import split
from salbench.training_plan import Plan
from salbench.weights import WeightsProblem, hash_tensors


@pytest.fixture(autouse=True)
def _own_catalog(monkeypatch):
    monkeypatch.setattr(catalog, "_CATALOG", dict(catalog._CATALOG))


SHARE = 0.3  # held out by the recipe
QUIET = Runtime(progress=False)
RANDOM = Runtime(init="random", progress=False)


needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.fixture
def samples(make_spots):
    return make_spots(12)


@pytest.fixture
def fit(add_learned, samples, tmp_path):
    """A function: the method "own", fitted into a folder."""
    add_learned("own")

    def fitted(folder="seed0", *, seed=0, **options):
        method = registry.create("own", replace(QUIET, seed=seed))
        return method.fit(samples, Plan(folder=tmp_path / "checkpoints" / folder, **options))

    return fitted


def folder_of(method):
    return method.weights.parent


def evaluate(spec, samples, out):
    dataset = Dataset("spots", tuple(samples), gaze="simulated", licence="none", citation="none")
    return Evaluation(dataset, PROTOCOLS["tuebingen"], out, QUIET).run(spec)


class TestFit:
    def test_then_predict(self, fit, make_spots):
        method = fit()
        (sample,) = make_spots(1, seed=5, size=(60, 50))
        log_density = method.predict(sample.blind())
        assert log_density.shape == (24, 32)
        assert np.isfinite(log_density).all()
        assert np.exp(log_density.astype(float)).sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(method.predict(sample.blind()), log_density)

    def test_the_prediction_is_of_the_best_weights(self, fit, samples):
        method = fit()
        before = method.predict(samples[0])
        best = checkpoint.read(method.weights)
        checkpoint.save(method.weights, {n: 0 * t for n, t in best.tensors.items()}, best.record)
        np.testing.assert_array_equal(method.predict(samples[0]), before)  # they are in memory
        again = registry.create(f"own:{folder_of(method)}").predict(samples[0])
        np.testing.assert_allclose(again, -np.log(24 * 32), rtol=1e-6)

    def test_fitting_again_forgets_the_old_network(self, fit, samples, tmp_path):
        method = fit()
        before, hashed = method.predict(samples[0]), method.weights_hash()
        method.fit(samples, Plan(folder=tmp_path / "other", augment=("hflip",)))
        assert np.abs(method.predict(samples[0]) - before).max() > 1e-3
        assert method.weights_hash() != hashed

    def test_only_the_training_side_is_trained_on(self, fit, samples):
        """The recipe holds images out, and no fact of them moves a weight."""

        def last(method):
            return checkpoint.read(folder_of(method) / "last.safetensors").tensors

        train, validation = split(samples, SHARE)
        assert len(train) > 4
        assert validation
        tensors = last(fit("a"))
        samples[:] = [replace(s, fixations=s.fixations[:1], observers=None) if s in validation else s for s in samples]
        other = last(fit("b"))
        assert all(torch.equal(t, other[n]) for n, t in tensors.items())
        samples[:] = [replace(s, fixations=s.fixations[:1], observers=None) if s in train else s for s in samples]
        other = last(fit("c"))
        assert not all(torch.equal(t, other[n]) for n, t in tensors.items())

    def test_seed(self, fit):
        """It decides on the first weights too."""
        first, same, other = (fit(f, seed=s).trained.tensors for f, s in (("a", 0), ("b", 0), ("c", 1)))
        assert all(torch.equal(t, same[name]) for name, t in first.items())
        assert not any(torch.equal(t, other[name]) for name, t in first.items())

    def test_copies_are_trained_on(self, fit):
        plain, more = fit("plain"), fit("more", augment=("hflip",))
        assert more.trained.record.identity["copies"] == {"hflip": 0}
        assert not torch.equal(plain.trained.tensors["0.weight"], more.trained.tensors["0.weight"])

    def test_the_recipe_is_changed_as_planned(self, fit):
        method, other = fit(recipe={"epochs": 1, "batch_size": 2}), registry.create("own")
        assert len(method.trained.record.history) == 1
        assert method.trained.record.step == 4  # of two of nine images
        assert (other.recipe.epochs, other.recipe.batch_size) == (2, 4)

    def test_an_unknown_field_of_the_recipe(self, fit):
        with pytest.raises(ValueError, match=r"recipe: expected fields among size, epochs, .*, got epoch$"):
            fit(recipe={"epoch": 1})

    def test_without_a_folder(self, add_learned, samples):
        with pytest.raises(TrainingProblem, match="own: expected a plan with a folder for the checkpoints"):
            registry.create(add_learned("own"), QUIET).fit(samples, Plan())

    def test_too_few_samples(self, add_learned, samples, tmp_path):
        method, plan = registry.create(add_learned("own"), QUIET), Plan(folder=tmp_path / "few")
        train, validation = split(samples, SHARE)
        with pytest.raises(NoTrainingData, match="to train on"):
            method.fit(validation, plan)
        with pytest.raises(NoTrainingData, match="to validate on"):
            method.fit(train, plan)
        assert not (tmp_path / "few").exists()

    def test_a_network_of_the_wrong_shape_is_told_at_the_first_step(self, add_learned, samples, tmp_path):
        method = registry.create(add_learned("own"), QUIET)
        build = method.build_network
        method.build_network = lambda: torch.nn.Sequential(build(), torch.nn.Unflatten(1, (1, -1)))
        with pytest.raises(ValueError, match=r"^own: expected .* logits .* here \(4, 24, 32\), got \(4, 1, 24, 32\)"):
            method.fit(samples, Plan(folder=tmp_path / "run"))

    def test_a_folder_that_cannot_be_written_is_told_before_training(self, add_learned, samples, tmp_path, monkeypatch):
        method = registry.create(add_learned("own"), QUIET)
        (tmp_path / "file").write_text("")
        monkeypatch.setattr("salbench.training.loop.Trainer._epoch", None)
        with pytest.raises(OSError, match="file"):
            method.fit(samples, Plan(folder=tmp_path / "file" / "run"))

    def test_a_training_resumes_with_the_same_code_only(self, fit, samples, add_learned, tmp_path):
        folder = tmp_path / "augmentations"
        folder.mkdir()
        text = (
            "from salbench.augment import photometric\n\n\n@photometric\ndef mine(image, rng, *, level=1):\n"
            '    """Mine."""\n    return image\n'
        )
        (folder / "mine.py").write_text(text)
        add_augmentations(folder)
        fit(augment=("mine",))
        (folder / "mine.py").write_text(text.replace("return image", "return image // 2"))
        with pytest.raises(TrainingProblem, match="the code has changed"):
            fit(augment=("mine",))
        fit("plain")
        add_learned("own", channels=5)
        with pytest.raises(TrainingProblem, match="the code has changed"):
            fit("plain")

    def test_the_folder_above_is_told_where_the_weights_are(self, add_learned, samples, tmp_path):
        method = registry.create(add_learned("own"), QUIET)
        method.fit(samples, Plan(folder=tmp_path / "out" / "own" / "spots" / "seed0"))
        with pytest.raises(WeightsProblem, match=r"best\.safetensors: no .*\(but .*own/spots/seed0 has\); expected"):
            registry.create(f"own:{tmp_path / 'out'}").predict(samples[0])


class TestWeights:
    def test_by_folder_and_by_file(self, fit, samples, tmp_path):
        method = fit("seed0")
        file = tmp_path / "mine.safetensors"
        file.write_bytes(method.weights.read_bytes())
        expected = method.predict(samples[0])
        for place in (folder_of(method), file, folder_of(method) / "last" / ".." / "best.safetensors"):
            np.testing.assert_array_equal(registry.create(f"own:{place}").predict(samples[0]), expected)

    def test_names_of_variants(self, fit, tmp_path):
        folder = folder_of(fit("seed0"))
        assert registry.create("own").label == "own"
        assert registry.create(f"own:{folder}").label == "own+checkpoints-seed0"
        assert registry.create(f"own:{folder}/").label == "own+checkpoints-seed0"
        assert registry.create(f"own:{folder}/best.safetensors").label == "own+best"
        assert registry.create(f"own:{tmp_path}/mine.safetensors").label == "own+mine"
        assert registry.create(f"own:other={folder}").label == "own+other"
        assert registry.create(f"own:other={folder}").weights == folder / "best.safetensors"

    def test_hash(self, fit, tmp_path):
        method = fit("a")
        tensors, record = method.trained.tensors, method.trained.record
        assert method.weights_hash() == hash_tensors(tensors)
        checkpoint.save(tmp_path / "told_more.safetensors", tensors, replace(record, notes=("more",)))
        assert registry.create(f"own:{tmp_path / 'told_more.safetensors'}").weights_hash() == method.weights_hash()
        assert registry.create(f"own:{folder_of(method)}").weights_hash() == method.weights_hash()
        assert fit("b", seed=1).weights_hash() != method.weights_hash()

    def test_a_file_is_read_once(self, fit, samples, monkeypatch):
        folder, reads, read = folder_of(fit()), [], checkpoint.read
        monkeypatch.setattr(checkpoint, "read", lambda path: reads.append(path) or read(path))
        method = registry.create(f"own:{folder}")
        assert method.notes()
        assert method.seen(samples)
        assert not method.knows_edits("0123456789abcdef")
        assert method.weights_hash()
        method.predict(samples[0])
        assert reads == [folder / "best.safetensors"]

    def test_what_a_training_made_is_read_once_too(self, fit, samples, monkeypatch):
        reads, read = [], checkpoint.read
        monkeypatch.setattr(checkpoint, "read", lambda path: reads.append(path) or read(path))
        method = fit()
        method.predict(samples[0])
        assert method.notes()
        assert reads == [method.weights]

    @pytest.mark.parametrize("call", [lambda m, s: m.predict(s), lambda m, s: m.weights_hash()])
    def test_none_say_how_to_get_them(self, add_learned, samples, tmp_path, call):
        add_learned("own")
        command = r"salbench fit --methods own --dataset osie_train --methods-dir \S+$"
        with pytest.raises(MethodUnavailable, match=f"^has no weights; train it with: {command}"):
            call(registry.create("own"), samples[0])
        with pytest.raises(WeightsProblem, match=r"gone\.safetensors: no such weights of own; expected a folder"):
            call(registry.create(f"own:{tmp_path}/gone.safetensors"), samples[0])
        with pytest.raises(WeightsProblem, match=r"best\.safetensors: no such weights of own; expected a folder"):
            call(registry.create(f"own:{tmp_path}"), samples[0])  # a folder where nothing was trained

    def test_of_another_network_are_refused(self, fit, add_learned, samples):
        add_learned("wide", channels=6)
        with pytest.raises(CheckpointProblem, match=r"another network: 3 of another shape, such as 0\.bias \(4,\)"):
            registry.create(f"wide:{folder_of(fit())}").predict(samples[0])

    def test_of_a_stopped_training_are_no_network(self, fit, samples):
        """`last` also holds the optimizer; `best` is what predicts."""
        with pytest.raises(CheckpointProblem, match="another network: 4 missing"):
            registry.create(f"own:{folder_of(fit())}/last.safetensors").predict(samples[0])


class TestEvaluation:
    def test_end_to_end(self, fit, tiny, tmp_path):
        method = fit()
        evaluation = Evaluation(tiny, PROTOCOLS["tuebingen"], tmp_path / "out", replace(QUIET, workers=2))
        result = evaluation.run(f"own:{folder_of(method)}")
        assert result.n_failed == 0
        assert result.n_images == 6
        assert result.method == "own+checkpoints-seed0"
        assert result.identity["weights"] == method.weights_hash()
        assert set(result.metrics) == set(METRICS)
        assert all(np.isfinite(m["mean"]) for m in result.metrics.values())

    def test_validation_scores_as_the_evaluator_does(self, fit, samples, tmp_path):
        method = fit()
        _, validation = split(samples, SHARE)
        history = json.loads(method.weights.with_suffix(".json").read_text())["history"]
        result = evaluate(f"own:{folder_of(method)}", validation, tmp_path / "out")
        assert len(validation) > 1
        for name in METRICS:
            assert history[-1][name] == pytest.approx(result.metrics[name]["mean"], rel=1e-9, abs=1e-9), name

    def test_without_weights_it_is_skipped(self, add_learned, samples, tmp_path):
        skipped = evaluate(add_learned("own"), samples, tmp_path)
        assert isinstance(skipped, Skipped)
        assert skipped.reason.startswith("has no weights; train it with")

    def test_weights_that_are_not_where_they_were_said_to_be_are_no_reason_to_skip(self, fit, samples, tmp_path):
        broken = evaluate(f"own:{folder_of(fit())}x", samples, tmp_path / "out")
        assert isinstance(broken, Broken)
        assert "no such weights of own" in broken.reason

    def test_damaged_weights_are_told_once(self, fit, samples, tmp_path):
        path = fit().weights
        path.write_bytes(path.read_bytes()[:100])
        broken = evaluate(f"own:{path.parent}", samples, tmp_path / "out")
        assert isinstance(broken, Broken)
        assert "damaged, or not a checkpoint" in broken.reason

    def test_the_table_says_how_much_it_was_trained_on(self, fit, samples, tmp_path):
        result = evaluate(f"own:{folder_of(fit())}", samples, tmp_path / "out")
        train, _ = split(samples, SHARE)
        assert result.notes == [f"trained on {len(train)} images."]
        table = tables.dataset_table(tmp_path / "out", "spots")
        assert f"- own+checkpoints-seed0: trained on {len(train)} images." in table

    def test_notes_on_a_training(self, add_learned):
        own = registry.create(add_learned("own"))
        assert own.notes_on(Counts(7, dataset="spots")) == ["trained on 7 images of spots."]
        edits = EditCounts(12, {"contrast": (1.2, 2.0), "dark": (0.1, 0.1)}, 0.5)
        said = "trained with edits: 12 images, contrast 1.2 to 2, dark 0.1, p 0.5."
        assert own.notes_on(Counts(7, edits=edits)) == ["trained on 7 images.", said]
        unisal = registry.create("unisal")  # its authors started from weights of ImageNet
        assert unisal.notes_on(Counts(7)) == ["trained from random weights on 7 images."]

    def test_the_plan_names_the_data_set(self, fit):
        assert fit(dataset="spots").notes() == ["trained on 9 images of spots."]

    def test_images_that_it_was_trained_or_validated_on_are_counted(self, fit, samples, make_spots, tmp_path):
        spec, others = f"own:{folder_of(fit())}", make_spots(15)[12:]
        assert evaluate(spec, others, tmp_path / "test").n_seen == 0
        assert evaluate(spec, [*samples, *others], tmp_path / "both").n_seen == len(samples)
        moved = [replace(sample, fixations=sample.fixations[1:], observers=None) for sample in samples]
        assert evaluate(spec, moved, tmp_path / "moved").n_seen == 0

    def test_weights_of_another_network_are_told_once_and_not_by_every_image(self, fit, add_learned, samples, tmp_path):
        add_learned("wide", channels=6)
        broken = evaluate(f"wide:{folder_of(fit())}", samples[:3], tmp_path / "out")
        assert isinstance(broken, Broken)
        assert "the checkpoint of another network" in broken.reason
        assert not list((tmp_path / "out").rglob("*.json*"))


class TestBatches:
    @pytest.fixture
    def method(self, add_learned):
        return registry.create(add_learned("own"), RANDOM)

    @pytest.fixture
    def mixed_samples(self, make_spots):
        sizes = [(24, 32), (24, 32), (60, 50), (24, 32), (60, 50), (60, 50)]
        return [make_spots(1, seed=i, size=size)[0].blind() for i, size in enumerate(sizes)]

    def test_equal_one_at_a_time(self, method, mixed_samples):
        together = method.predict_batch(mixed_samples)
        for sample, prediction in zip(mixed_samples, together, strict=True):
            np.testing.assert_allclose(prediction, method.predict(sample), rtol=0, atol=1e-5)
        assert np.abs(together[0] - together[1]).max() > 0.01

    def test_neighbours_of_one_size_go_through_the_network_together(self, method, mixed_samples):
        seen = []
        method.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[0]))
        method.predict_batch(mixed_samples)
        assert seen == [2, 1, 1, 2]

    def test_only_the_network_is_locked(self, method, mixed_samples):
        """Images are read and maps are finished while the network is busy with another batch."""
        locked, images_of, logits_of = {}, method.images_of, method.logits_of

        def notes(name, function):
            def noting(*arguments):
                locked[name] = method._lock.locked()
                return function(*arguments)

            return noting

        method.images_of, method.logits_of = notes("images", images_of), notes("logits", logits_of)
        method.finished = notes("finished", lambda log_density, sample: log_density)
        method.predict_batch(mixed_samples)
        assert locked == {"images": False, "logits": True, "finished": False}

    def test_four_images_are_scored_copied_predicted_and_read_at_the_same_time(self, method, make_spots):
        """All four wait for each other, so none goes on if one keeps another out.

        A copy from a GPU waits for its network; here, a tensor waits instead.
        """
        meeting, (scored, copied, predicted, read) = Barrier(4, timeout=10), make_spots(4)
        arrived, logits_of = {scored.id: Event(), copied.id: Event()}, method.logits_of

        def meet(sample):
            arrived[sample.id].set()
            meeting.wait()

        class OnDevice(torch.Tensor):
            def cpu(self):
                meet(copied)
                return super().cpu()

        def logits(network, images, samples):
            outputs = logits_of(network, images, samples)
            if samples[0].id == predicted.id:
                meeting.wait()
            return outputs.as_subclass(OnDevice) if samples[0].id == copied.id else outputs

        def late(read_image):
            """The other two are past the network, which this image will keep busy."""
            assert all(event.wait(10) for event in arrived.values())
            return read_image()

        def meeting_first(read_image):
            meeting.wait()
            return read_image()

        method.logits_of = logits
        samples = [
            scored,
            copied,
            replace(predicted, read_image=partial(late, predicted.read_image)),
            replace(read, read_image=partial(meeting_first, read.read_image)),
        ]
        outcomes = predict_stream(
            method, samples, Runtime(workers=4, batch_size=1), lambda sample, _: sample.id == scored.id and meet(sample)
        )
        assert [outcome.error for outcome in outcomes] == [None] * 4

    @pytest.mark.parametrize(
        ("device", "mixed", "dtype"),
        [
            ("cpu", True, torch.float32),
            pytest.param("cuda", False, torch.float32, marks=needs_gpu),
            pytest.param("cuda", True, torch.float16, marks=needs_gpu),
        ],
    )
    def test_in_inference_mode_and_on_cuda_in_float16(self, add_learned, mixed_samples, device, mixed, dtype):
        method, seen = registry.create(add_learned("own"), replace(RANDOM, device=device)), []
        method.mixed_precision = mixed

        def look(network, given, output):
            seen.append((output.dtype, output.is_inference()))

        method.network.register_forward_hook(look)
        (log_density,) = method.predict_batch(mixed_samples[:1])
        assert seen == [(dtype, True)]
        assert log_density.dtype == np.float32

    def test_the_first_prediction_is_at_the_size_of_the_weights(self, add_learned, samples, tmp_path):
        plan = Plan(folder=tmp_path / "small", recipe={"size": (12, 20), "epochs": 1})
        registry.create(add_learned("own"), QUIET).fit(samples, plan)
        assert registry.create(f"own:{tmp_path / 'small'}").predict(samples[0]).shape == (12, 20)

    def test_weights_that_need_another_setup_are_refused(self, fit, samples):
        folder = folder_of(fit())
        method = registry.create(f"own:{folder}")
        method.setup = lambda: {"backbone": "another"}
        with pytest.raises(CheckpointProblem, match=r"best\.safetensors: made with other settings \(backbone another"):
            method.predict(samples[0])

    def test_a_network_is_loaded_once_for_all_threads(self, method, mixed_samples, monkeypatch):
        loads, load = [], method._loaded
        monkeypatch.setattr(method, "_loaded", lambda: loads.append(time.sleep(0.05)) or load())
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(method.predict, mixed_samples[:3]))
        assert len(loads) == 1

    def test_a_finished_map_is_what_is_predicted(self, method, mixed_samples):
        method.finished = lambda log_density, sample: np.full(sample.size, log_density.max())
        assert [p.shape for p in method.predict_batch(mixed_samples)] == [s.size for s in mixed_samples]
        assert method.predict(mixed_samples[2]).shape == (60, 50)

    def test_a_predict_of_its_own_would_be_passed_by(self):
        with pytest.raises(registry.MethodProblem, match=r"Mine: expected no `predict`, .* write `finished`"):
            type("Mine", (LearnedMethod,), {"predict": lambda self, sample: None})

    def test_scores_are_those_of_one_at_a_time(self, fit, tiny, tmp_path):
        spec = f"own:{folder_of(fit())}"
        results = [
            Evaluation(tiny, PROTOCOLS["mit"], tmp_path / str(n), replace(QUIET, batch_size=n)).run(spec)
            for n in (1, 4)
        ]
        for name in METRICS:
            assert results[0].metrics[name]["mean"] == pytest.approx(results[1].metrics[name]["mean"], abs=1e-5)


def test_what_a_subclass_has_to_write():
    class Unwritten(LearnedMethod):
        recipe = Recipe(size=(24, 32))

    for call in (Unwritten().build_network, lambda: Unwritten().preprocess(None)):
        with pytest.raises(NotImplementedError):
            call()
