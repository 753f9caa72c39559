"""The loop: the same weights by the same seed, killed or not; the schedule; and what stops it."""

import csv
import json
import math
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from salbench.files import FileProblem, read_image
from salbench.locks import Busy, only_one
from salbench.metrics import METRICS
from salbench.runtime import Runtime
from salbench.training import LearnedMethod, Recipe, Trainer, TrainingProblem, checkpoint, loop
from salbench.training.data import NoTrainingData, TrainingSet
from salbench.training.loop import split
from salbench.training_plan import Plan

SIZE = (24, 32)
RECIPE = Recipe(
    size=SIZE,
    epochs=3,
    batch_size=2,
    learning_rate=0.02,
    warmup_steps=2,
    average=0.9,
    losses={"kl": 1.0, "cc": 0.5, "nss": 0.1, "sim": 0.2},
    jitter=("hflip", "color_jitter"),
)
STEPS = 4  # per epoch, of eight images
CLOCK = ("seconds", "busy")


def network(seed=0):
    """255 parameters; with dropout, whose random numbers must repeat, and the buffers of a batch norm."""
    torch.manual_seed(seed)
    first, last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 1, 1)
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout2d(0.2), last, nn.Flatten(1, 2))


class Plain(LearnedMethod):
    """What a trainer asks of a method."""

    def __init__(self, recipe=RECIPE, seed=0, progress=False):
        super().__init__()
        self.recipe, self.runtime = recipe, Runtime(seed=seed, progress=progress)

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5

    def code_hash(self):
        return "plain"


class Traced(Trainer):
    """Keeps what happens at every step. It is killed before step `stop_at`; `scores` replace those of validation."""

    def __init__(self, *args, stop_at=None, scores=None, **options):
        super().__init__(*args, **options)
        self.stop_at, self.scores = stop_at, scores
        self.rates, self.norms, self.weights, self.averages, self.stages = [], [], [], [], []
        loss = self.method.loss
        self.method.loss = lambda network, batch: self.stages.append(batch.stage) or loss(network, batch)

    def _train_on(self, batch):
        if self.step == self.stop_at:
            raise KeyboardInterrupt
        self.rates.append([group["lr"] for group in self.optimizer.param_groups])
        value = super()._train_on(batch)
        self.norms.append(math.sqrt(sum(float((p.grad**2).sum()) for p in self._own.parameters())))
        self.weights.append(copied(self._own.state_dict()))
        self.averages.append(copied(self.average.module.state_dict()))
        return value

    def _validate(self):
        if self.scores is None:
            return super()._validate()
        return dict.fromkeys(METRICS, 0.5) | {self.recipe.criterion: self.scores[len(self.history)]}


def copied(tensors):
    return {name: t.clone() for name, t in tensors.items()}


def assert_equal(given, expected):
    assert set(given) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(given[name], tensor), name


def without_clock(history):
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in history]


@pytest.fixture
def trainer(make_spots, tmp_path):
    """A function: a `Traced` trainer on eight images, validated on three others."""

    def make(
        folder="run", recipe=RECIPE, *, net=None, method=None, samples=None, validation=None, copies=(), seed=0,
        progress=False, **options,
    ):  # fmt: skip
        return Traced(
            net or network(),
            method or Plain(recipe, seed, progress),
            make_spots(8) if samples is None else samples,
            make_spots(3, seed=1) if validation is None else validation,
            Plan(folder=tmp_path / folder, augment=copies),
            **options,
        )

    return make


@pytest.fixture(scope="module")
def whole(make_spots, tmp_path_factory):
    """A training that nothing stopped: its folder, and the checkpoint that `run` returned."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = Traced(network(), Plain(), make_spots(8), make_spots(3, seed=1), Plan(folder=folder))
    return folder, trainer.run()


def assert_as_whole(folder, whole):
    """Both checkpoints and the log are those of the training that nothing stopped."""
    for name in ("best.safetensors", "last.safetensors"):
        expected, given = checkpoint.read(whole[0] / name), checkpoint.read(folder / name)
        assert_equal(given.tensors, expected.tensors)
        assert without_clock(given.record.history) == without_clock(expected.record.history)
        assert replace(given.record, history=()) == replace(expected.record, history=())
        assert json.loads((folder / name).with_suffix(".json").read_text()) == given.record.to_json()
    assert without_clock(read_log(folder)) == without_clock(read_log(whole[0]))


def read_log(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_plan_names_the_logger(make_spots, tmp_path):
    plan = Plan(folder=tmp_path, logger="none")
    Traced(network(), Plain(), make_spots(8), make_spots(3, seed=1), plan).run()
    assert not (tmp_path / "log.csv").exists()
    with pytest.raises(ValueError, match="logger: expected one of none, csv, tensorboard"):
        Traced(network(), Plain(), make_spots(8), make_spots(3, seed=1), Plan(folder=tmp_path, logger="x"))


class TestRepeats:
    def test_same_seed_same_weights(self, trainer, whole, tmp_path):
        trainer("again").run()
        assert_as_whole(tmp_path / "again", whole)

    def test_other_seed_other_weights(self, trainer, whole):
        other = trainer("other", seed=1).run()
        assert not torch.equal(other.tensors["0.weight"], whole[1].tensors["0.weight"])

    def test_the_weights_do_learn(self, whole):
        _, best = whole
        assert (best.tensors["0.weight"] - network().state_dict()["0.weight"]).abs().max() > 0.01

    @pytest.mark.parametrize("step", [1, STEPS, 3 * STEPS - 1])
    def test_killed_at_a_step_and_resumed(self, trainer, whole, tmp_path, step):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=step).run()
        torch.manual_seed(99)
        trainer(net=network(seed=7) if step >= STEPS else None).run()  # what it starts from is in the checkpoint
        assert_as_whole(tmp_path / "run", whole)

    def test_one_at_a_time(self, trainer, tmp_path):
        busy = pytest.raises(Busy, match="run: another process is training here; wait for it")
        with only_one(tmp_path / "run", "is training here"), busy:
            trainer().run()
        trainer().run()
        assert [path.name for path in tmp_path.iterdir()] == ["run"]

    @pytest.mark.parametrize("write", range(8))
    def test_killed_at_a_write_and_resumed(self, trainer, whole, tmp_path, monkeypatch, write):
        """The first epoch writes five files, the second at least three; the kill comes before a file gets its name."""
        left = iter(range(write))
        replace_file = os.replace

        def killed(*paths):
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace_file(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                trainer().run()
        trainer().run()
        assert_as_whole(tmp_path / "run", whole)
        assert not list((tmp_path / "run").glob(".*"))

    def test_killed_twice(self, trainer, whole, tmp_path):
        for step in (STEPS + 1, 2 * STEPS + 3):
            with pytest.raises(KeyboardInterrupt):
                trainer(stop_at=step).run()
        trainer().run()
        assert_as_whole(tmp_path / "run", whole)

    def test_a_finished_training_is_not_trained_further(self, trainer, whole, tmp_path):
        trainer().run()
        before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
        best = trainer(stop_at=3 * STEPS).run()
        assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before
        assert_equal(best.tensors, whole[1].tensors)
        assert without_clock(best.record.history) == without_clock(whole[1].record.history)


class TestAnotherTraining:
    @pytest.mark.parametrize(
        ("said", "options"),
        [
            ("recipe.learning_rate 0.01 instead of 0.02", {"recipe": replace(RECIPE, learning_rate=0.01)}),
            ("recipe.epochs 4 instead of 3", {"recipe": replace(RECIPE, epochs=4)}),
            ("seed 1 instead of 0", {"seed": 1}),
            ("copies.vflip 0 instead of nothing; the code has changed", {"copies": ("vflip",)}),
        ],
    )
    def test_is_refused(self, trainer, tmp_path, said, options):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
        expected = rf"run: made with other settings \({said}\)\. Choose another folder, or remove it"
        with pytest.raises(TrainingProblem, match=expected):
            trainer(**options).run()
        assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before

    def test_of_other_images_is_refused(self, trainer, make_spots):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        with pytest.raises(TrainingProblem, match="the images or their ground truth differ"):
            trainer(samples=make_spots(8, seed=2)).run()

    @pytest.mark.parametrize("name", loop._CODE)
    def test_with_another_loop_is_refused(self, trainer, monkeypatch, name):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        kept = loop.definition_hash
        monkeypatch.setattr(loop, "definition_hash", lambda *names: kept(*(n for n in names if n != name)))
        with pytest.raises(TrainingProblem, match="the code has changed"):
            trainer().run()

    def test_of_another_network_is_refused(self, trainer):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        wider = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 1), nn.Flatten(1, 2))
        with pytest.raises(checkpoint.CheckpointProblem, match=r"last\.safetensors: the checkpoint of another network"):
            trainer(net=wider).run()

    def test_a_torn_checkpoint_is_refused(self, trainer, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        path = tmp_path / "run" / "last.safetensors"
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(checkpoint.CheckpointProblem, match=r"last\.safetensors: damaged"):
            trainer().run()


class TestRecords:
    def test_log(self, whole):
        folder, _ = whole
        rows = read_log(folder)
        assert list(rows[0]) == ["epoch", "loss", *METRICS, "seconds", "busy"]
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        history = checkpoint.read(folder / "last.safetensors").record.history
        assert [{name: float(value) for name, value in row.items()} for row in rows] == list(history)
        for row in history:
            assert all(math.isfinite(value) for value in row.values())
            assert 0 < row["busy"] <= 1
            assert 0 <= row["auc"] <= 1

    def test_the_record_names_the_training(self, whole):
        folder, best = whole
        assert best.record.identity["recipe"] == json.loads(json.dumps(vars(RECIPE)))
        assert best.record.identity["seed"] == 0
        assert best.record.data == checkpoint.Counts(images=8)
        assert len(best.record.marks) == 8 + 3
        assert checkpoint.read(folder / "last.safetensors").record.step == 3 * STEPS

    def test_copies_without_fixations_are_kept_on_record(self, trainer, make_spots):
        samples = make_spots(8)
        samples[0] = replace(samples[0], fixations=np.array([(31.0, 23.0)]), observers=None)
        one = trainer(samples=samples, copies=("shear_x_0.5",), recipe=replace(RECIPE, epochs=1))
        copies = one.run().record.identity["copies"]
        assert copies == one.data.empty_copies
        assert copies["shear_x_0.5"] >= 1

    def test_the_bar_shows_the_running_loss(self, trainer, capsys):
        trainer(recipe=replace(RECIPE, epochs=1), progress=True).run()
        shown = capsys.readouterr().err
        assert "epoch 1" in shown
        assert "4/4" in shown
        assert "loss=" in shown

    def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(self, trainer):
        values = []
        one = trainer(recipe=replace(RECIPE, epochs=1))
        step = one._train_on
        one._train_on = lambda *batch: values.append(step(*batch)) or values[-1]
        best = one.run()
        assert len(values) == STEPS
        assert best.record.history[0]["loss"] == pytest.approx(np.mean(values))


class TestSchedule:
    def test_warm_up_then_cosine(self, trainer):
        recipe = replace(RECIPE, learning_rate=1e-3, warmup_steps=4)
        one = trainer(recipe=recipe, scores=[1.0] * 3)
        one.run()
        rates = np.array(one.rates)
        assert rates.shape == (12, 2)
        assert (rates[:, 0] == rates[:, 1]).all()
        known = {
            0: 0.25,  # a quarter of the warm-up, at the top of the cosine
            3: 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2,  # warm, after a quarter of all steps
            6: 0.505,  # half way
            9: 0.01 + 0.99 * (1 - math.sqrt(0.5)) / 2,
            10: 0.01 + 0.99 * (1 - math.sqrt(0.75)) / 2,
        }
        for step, share in known.items():
            assert rates[step, 0] == pytest.approx(1e-3 * share)
        assert (np.diff(rates[:4, 0]) > 0).all()
        assert (np.diff(rates[3:, 0]) < 0).all()
        assert rates[-1, 0] < 0.03 * 1e-3

    def test_every_stage_warms_up_and_decays(self, trainer):
        recipe = replace(RECIPE, learning_rate=1e-3, warmup_steps=2, stages=(4, 8))
        one = trainer(recipe=recipe, scores=[1.0] * 3)
        one.run()
        known = {
            0: 0.5,  # half of the warm-up, at the top of the cosine
            2: 0.505,  # half way through the first stage
            4: 0.5,  # half of the second warm-up, at the top of the second cosine
            5: 0.01 + 0.99 * (1 + math.cos(math.pi / 8)) / 2,
            8: 0.505,  # half way through the second stage
            10: 0.01 + 0.99 * (1 - math.sqrt(0.5)) / 2,
        }
        for step, share in known.items():
            assert one.rates[step][0] == pytest.approx(1e-3 * share)
        assert one.stages == [0] * 4 + [1] * 8

    def test_every_stage_starts_with_empty_moments(self, trainer):
        """What had no gradient in the first stage then moves by the rate itself, as in any first step of Adam."""

        class Late(Plain):
            def loss(self, network, batch):
                return batch.stage * super().loss(network, batch)

        recipe = replace(RECIPE, warmup_steps=0, weight_decay=0.0, average=0.0, stages=(1, 2))
        one = trainer(recipe=recipe, method=Late(recipe))
        one.run()
        moved = (one.weights[4]["0.weight"] - one.weights[3]["0.weight"]).abs()
        assert torch.equal(one.weights[3]["0.weight"], network().state_dict()["0.weight"])
        assert_allclose(moved.median(), recipe.learning_rate, rtol=1e-3)

    @pytest.mark.parametrize("steps", [1, 12, 480])
    def test_the_schedule_of_one_stage_runs_over_all_steps(self, steps):
        for step in range(steps + 1):
            cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps))
            assert loop.share_of_peak(RECIPE, steps, step) == min(1.0, (step + 1) / 2) * cosine

    @pytest.mark.parametrize("killed", [6, 9])
    def test_a_training_that_is_resumed_keeps_its_stages(self, trainer, tmp_path, killed):
        recipe = replace(RECIPE, stages=(3, 9))  # the second stage begins within the first epoch
        whole = trainer("whole", recipe)
        expected = tmp_path / "whole", whole.run()
        with pytest.raises(KeyboardInterrupt):
            trainer("run", recipe, stop_at=killed).run()
        again = trainer("run", recipe)
        again.run()
        assert_as_whole(tmp_path / "run", expected)
        assert again.rates == whole.rates[killed // STEPS * STEPS :]

    @pytest.mark.parametrize("stages", [(), (0.0, 1.0), (1.0, -1.0), (math.nan,)])
    def test_a_stage_without_length_is_refused(self, stages):
        with pytest.raises(ValueError, match="stages: expected one length above 0 for each stage, got "):
            replace(RECIPE, stages=stages)

    def test_without_warm_up_the_first_step_has_the_peak(self, trainer):
        one = trainer(recipe=replace(RECIPE, warmup_steps=0, learning_rate=1e-3, epochs=1))
        one.run()
        assert one.rates[0][0] == pytest.approx(1e-3)

    def test_a_small_set_has_one_step_per_epoch(self, trainer, make_spots):
        one = trainer(recipe=replace(RECIPE, batch_size=100))
        one.run()
        assert len(one.rates) == 3

    def test_gradients_are_clipped(self, trainer):
        loose, tight = trainer("loose", replace(RECIPE, clip=1e9)), trainer("tight", replace(RECIPE, clip=0.05))
        loose.run()
        tight.run()
        assert max(loose.norms) > 0.1
        assert max(tight.norms) <= 0.05 * (1 + 1e-5)


class TestAverage:
    @pytest.mark.parametrize(("average", "decays"), [(0.998, (2 / 11, 3 / 12)), (0.1, (0.1, 0.1))])
    def test_two_steps_by_hand(self, trainer, average, decays):
        one = trainer(recipe=replace(RECIPE, average=average), stop_at=2)
        expected = copied(one._own.state_dict())
        with pytest.raises(KeyboardInterrupt):
            one.run()
        for step, decay in enumerate(decays):
            for name, tensor in one.weights[step].items():
                if tensor.is_floating_point():
                    expected[name] = decay * expected[name] + (1 - decay) * tensor
                    assert not torch.equal(one.averages[step][name], tensor)
                    assert_allclose(one.averages[step][name], expected[name], rtol=1e-5, atol=1e-7)
                else:
                    assert one.averages[step][name] == step + 1  # batches that the norm has seen

    def test_it_is_what_is_kept_and_validated(self, trainer):
        one = trainer(recipe=replace(RECIPE, epochs=1))
        best = one.run()
        assert_equal(best.tensors, one.averages[-1])
        assert_equal(one._own.state_dict(), one.weights[-1])  # validation leaves the network alone
        other = trainer("other", recipe=replace(RECIPE, epochs=1), net=network(seed=7))
        other.average.module.load_state_dict(best.tensors)
        assert other._validate() == {name: best.record.history[0][name] for name in METRICS}


class TestWeightDecay:
    def test_groups(self, trainer):
        one = trainer()
        decayed, rest = one.optimizer.param_groups
        names = {id(p): name for name, p in one._own.named_parameters()}
        assert [names[id(p)] for p in decayed["params"]] == ["0.weight", "4.weight"]
        assert [names[id(p)] for p in rest["params"]] == ["0.bias", "1.weight", "1.bias", "4.bias"]
        assert decayed["weight_decay"] == RECIPE.weight_decay
        assert rest["weight_decay"] == 0

    def test_kernels_shrink_and_vectors_do_not(self, trainer):
        """Without a loss there is nothing else that moves them."""
        recipe = replace(RECIPE, losses={"kl": 0.0}, learning_rate=0.1, weight_decay=0.5, warmup_steps=0)
        one = trainer(recipe=recipe, stop_at=1)
        before = copied(dict(one._own.named_parameters()))
        with pytest.raises(KeyboardInterrupt):
            one.run()
        for name, tensor in one._own.named_parameters():
            factor = 1 - 0.1 * 0.5 if tensor.ndim > 1 else 1
            assert_allclose(tensor.detach(), factor * before[name].detach(), rtol=1e-6)


class TestBest:
    @pytest.mark.parametrize(
        ("criterion", "scores", "best", "epochs"),
        [
            ("kl", [3.0, 2.0, 2.5, 2.6, 1.0], 2, 4),
            ("kl", [1.0, 1.0, 1.0, 0.5, 0.1], 1, 3),  # as good is not better
            ("auc", [0.5, 0.6, 0.55, 0.7, 0.65], 4, 5),
        ],
    )
    def test_by_the_criterion_in_its_direction_and_early_stop(self, trainer, criterion, scores, best, epochs):
        one = trainer(recipe=replace(RECIPE, epochs=5, patience=2, criterion=criterion), scores=scores)
        found = one.run()
        assert len(one.history) == epochs
        assert len(found.record.history) == best
        assert found.record.history[-1][criterion] == scores[best - 1]
        assert_equal(found.tensors, one.averages[best * STEPS - 1])

    def test_a_resumed_training_knows_that_it_is_over(self, trainer):
        recipe, scores = replace(RECIPE, epochs=5, patience=2), [1.0, 2.0, 3.0, 0.5, 0.1]
        trainer(recipe=recipe, scores=scores).run()
        again = trainer(recipe=recipe, scores=scores)
        again.run()
        assert not again.rates
        assert len(again.history) == 3

    def test_unknown_criterion(self):
        with pytest.raises(ValueError, match=r"criterion: expected one of auc, .* got 'loss'"):
            replace(RECIPE, criterion="loss")


class _FailsAt(nn.Module):
    """The network, but its `call`-th call in training has `what` done to its output."""

    def __init__(self, call, what):
        super().__init__()
        self.network, self.call, self.what, self.calls = network(), call, what, 0

    def forward(self, x):
        y = self.network(x)
        self.calls += self.training
        return self.what(y) if self.training and self.calls == self.call else y


class _InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.inf


class TestStops:
    def last(self, folder):
        return checkpoint.read(folder / "last.safetensors")

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            (lambda y: y * math.nan, "the loss is nan"),
            (lambda y: torch.where(y == y.max(), math.inf, y), "the loss is nan"),
            (_InfiniteGradient.apply, "the gradient is nan"),
        ],
    )
    def test_at_a_loss_that_is_no_number(self, trainer, tmp_path, make_spots, what, said):
        one = trainer(net=_FailsAt(STEPS + 2, what))
        with pytest.raises(TrainingProblem) as problem:
            one.run()
        batches = list(TrainingSet(make_spots(8), SIZE, jitter=RECIPE.jitter).batches(1, 2))
        message = str(problem.value)
        assert message.startswith(f"{said} on the batch {', '.join(batches[1][0])}. ")
        assert f"the last good weights are kept in {tmp_path / 'run'}" in message
        last = self.last(tmp_path / "run")
        assert len(last.record.history) == 1
        assert_equal(last.part("network"), one.weights[STEPS - 1])
        assert_equal(checkpoint.read(tmp_path / "run" / "best.safetensors").tensors, one.averages[STEPS - 1])
        for tensor in one._own.state_dict().values():
            assert tensor.isfinite().all()

    def gpu_is_full(self, y):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    def cpu_is_full(self, y):
        return y + torch.empty(2**60)

    def python_is_full(self, y):
        raise MemoryError("no more")

    @pytest.mark.parametrize("where", ["gpu_is_full", "cpu_is_full", "python_is_full"])
    def test_out_of_memory_says_what_to_lower(self, trainer, tmp_path, where):
        with pytest.raises(TrainingProblem, match=r"^out of memory: lower the batch size \(now 2\): ."):
            trainer(net=_FailsAt(STEPS + 1, getattr(self, where))).run()
        assert len(self.last(tmp_path / "run").record.history) == 1

    def test_other_errors_of_a_network_are_not_taken_for_it(self, trainer):
        with pytest.raises(RuntimeError, match="must match the size") as problem:
            trainer(net=_FailsAt(1, lambda y: y + torch.ones(7, 7, 7))).run()
        assert not isinstance(problem.value, TrainingProblem)

    def test_a_corrupt_image_is_named_and_nothing_is_lost(self, trainer, tmp_path, make_spots):
        samples = make_spots(8)
        path = tmp_path / "broken.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
        with pytest.raises(KeyboardInterrupt):
            trainer(stop_at=STEPS).run()
        samples[3] = replace(samples[3], read_image=partial(read_image, path))
        with pytest.raises(FileProblem, match=r"broken\.png"):
            trainer(samples=samples).run()
        assert len(self.last(tmp_path / "run").record.history) == 1

    @pytest.mark.parametrize("fixations", [np.empty((0, 2)), None])
    def test_nothing_to_validate_on(self, trainer, make_spots, fixations):
        validation = [replace(s, fixations=fixations, observers=None) for s in make_spots(2, seed=1)]
        with pytest.raises(NoTrainingData, match=r"with fixations to validate on, .* give more images"):
            trainer(validation=validation)
        samples = [
            replace(s, read_density=partial(np.ones, s.size), fixations=fixations, observers=None)
            for s in make_spots(8)
        ]
        with pytest.raises(NoTrainingData, match="no image has any; train on a data set with fixations too"):
            trainer(samples=samples, validation=[])

    def test_an_image_without_fixations_is_not_validated_on(self, trainer, make_spots):
        good = make_spots(3, seed=1)
        bad = [
            replace(make_spots(1, seed=2)[0], id=str(f), fixations=f, observers=None) for f in (np.empty((0, 2)), None)
        ]
        assert trainer(validation=[*good, *bad])._validate() == trainer("b", validation=good)._validate()

    def test_one_training_image(self, trainer, make_spots):
        with pytest.raises(NoTrainingData, match="at least two images"):
            trainer(samples=make_spots(1))


class TestSplit:
    def ids(self, number):
        return [f"picture_{i}" for i in range(number)]

    def held_out(self, make_spots, ids, share):
        (sample,) = make_spots(1)
        train, validation = split([replace(sample, id=id) for id in ids], share)
        assert sorted(s.id for s in train + validation) == sorted(ids)
        return {s.id for s in validation}

    @pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
    def test_about_the_share(self, make_spots, share):
        assert len(self.held_out(make_spots, self.ids(2000), share)) / 2000 == pytest.approx(share, abs=0.03)

    @pytest.mark.parametrize(("share", "number"), [(0, 0), (1, 50)])
    def test_none_and_all(self, make_spots, share, number):
        assert len(self.held_out(make_spots, self.ids(50), share)) == number

    def test_a_sample_always_falls_on_the_same_side(self, make_spots):
        few = self.held_out(make_spots, self.ids(100), 0.2)
        many = self.held_out(make_spots, self.ids(300)[::-1], 0.2)
        assert 5 < len(few) < 40
        assert many & set(self.ids(100)) == few
        assert few < self.held_out(make_spots, self.ids(100), 0.5)

    def test_the_sides_are_those_of_always(self, make_spots):
        """A change of the hash would let new weights be trained on what old ones were validated on."""
        held_out = {"spot_1", "spot_3", "spot_4", "spot_6", "spot_7", "spot_10"}
        assert self.held_out(make_spots, [f"spot_{i}" for i in range(12)], 0.3) == held_out

    def test_order_is_kept(self, make_spots):
        samples = make_spots(40)
        for side in split(samples, 0.5):
            assert [s.id for s in side] == [s.id for s in samples if s in side]


class TestLearning:
    def test_finds_bright_spots(self, trainer, make_spots):
        recipe = replace(RECIPE, epochs=12, batch_size=4, losses={"kl": 1.0}, jitter=(), learning_rate=0.05)
        one = trainer(recipe=recipe, samples=make_spots(24))
        untrained = one._validate()
        found = one.run()
        losses = [row["loss"] for row in one.history]
        assert losses[-1] < 0.5 * losses[0]
        best = found.record.history[-1]
        assert best["kl"] == min(row["kl"] for row in one.history)
        assert best["kl"] < 0.5 * untrained["kl"]
        assert best["nss"] > untrained["nss"] + 1
        assert best["auc"] > 0.95


class TestLogDensity:
    def test_is_a_normalised_log_density_of_the_recipes_size(self, make_spots):
        (sample,) = make_spots(1, size=(50, 41))
        log_density = Plain().log_density(network().eval(), sample)
        assert log_density.shape == SIZE
        assert log_density.dtype == np.float32
        assert np.exp(log_density.astype(float)).sum() == pytest.approx(1, abs=1e-5)

    def test_leaves_image_and_network_alone(self, make_spots):
        (sample,) = make_spots(1)
        image, net = sample.image, network().eval()
        before, weights = image.copy(), copied(net.state_dict())
        Plain().log_density(net, replace(sample, read_image=lambda: image))
        np.testing.assert_array_equal(image, before)
        assert_equal(net.state_dict(), weights)
        assert all(p.requires_grad for p in net.parameters())


def test_seeds_of_steps_differ():
    seeds = {loop.hash_to_int(seed, step) for seed in range(20) for step in range(100)}
    assert len(seeds) == 2000
    assert all(0 <= s < 2**63 for s in seeds)
