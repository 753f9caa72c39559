"""One augmentation at a time, end to end on toy samples, and the statistics of its table."""

import json

import numpy as np
import pytest

from salbench import ablation, results, tables
from salbench.datasets import Dataset
from salbench.metrics import METRICS
from salbench.stats import holm, paired_difference


@pytest.fixture
def ablate(add_learned, make_spots, tmp_path, monkeypatch):
    """A function of augmentations and seeds: run the ablation of a toy method on toy splits."""
    splits = {
        name: Dataset(name, make_spots(n, seed), gaze="none", licence="none", citation="none")
        for name, n, seed in (("toy_train", 20, 0), ("toy_test", 6, 1))
    }
    monkeypatch.setattr(ablation, "load", lambda name, root: splits[name])
    add_learned("own")

    def run(augmentations, seeds=(0, 1), **options):
        return ablation.ablate(
            "own",
            "toy",
            augmentations,
            seeds,
            out=tmp_path / "r",
            checkpoints=tmp_path / "c",
            progress=False,
            **options,
        )

    return run


def test_every_arm_is_trained_scored_and_kept(ablate, tmp_path, monkeypatch):
    monkeypatch.setattr("salbench.training.loop.Trainer._best", lambda self: self.history[0])  # never gets better
    assert ablate(["hflip", "invert"], epochs=6) == []
    found = results.read_all(tmp_path / "r", "toy_ablation")
    assert set(found) == {f"own+{arm}-seed{seed}" for arm in ("none", "hflip", "invert") for seed in (0, 1)}
    assert len({r.key.weights for r in found.values()}) == 6
    steps = {p.parent.parent.name: json.loads(p.read_text())["step"] for p in (tmp_path / "c").rglob("last.json")}
    assert len(steps) == 3
    assert set(steps.values()) == {6 * 3}, "six epochs of three batches in all arms: none stops early"
    table = tables.ablation_table(tmp_path / "r", "toy")
    assert [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("| ")] == [
        "method", "none (mean)", "hflip", "invert",
    ]  # fmt: skip
    assert "6 test images x 2 seeds" in table
    assert r"\begin{tabular}" in tables.ablation_table(tmp_path / "r", "toy", "latex")


def test_an_arm_that_fails_does_not_take_the_others_with_it(ablate, tmp_path):
    failures = ablate(["crop_128", "hflip"], seeds=[0])
    assert [(f.arm, f.seed) for f in failures] == [("crop_128", 0)]
    assert "expected an image of at least 128 x 128" in failures[0].reason
    assert set(results.read_all(tmp_path / "r", "toy_ablation")) == {"own+none-seed0", "own+hflip-seed0"}


def test_finished_arms_are_not_trained_again(ablate, tmp_path):
    ablate(["hflip"], seeds=[0])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.suffix in (".safetensors", ".csv", ".json")}
    ablate(["hflip", "invert"], seeds=[0])
    assert {p: p.read_bytes() for p in before} == before


def test_a_change_is_the_mean_difference_of_the_same_images(ablate, tmp_path):
    ablate(["hflip"])
    arms = tables._ablation_arms(tmp_path / "r", "toy_ablation")
    changes = tables.ablation_changes(arms)
    for name in METRICS:
        expected = np.mean(arms["hflip"][name] - arms["none"][name])
        assert changes["hflip"][name]["mean"] == pytest.approx(expected, rel=1e-9)
        assert changes["hflip"][name]["low"] <= expected <= changes["hflip"][name]["high"]


def test_a_method_without_a_recipe_is_refused(ablate, tmp_path):
    with pytest.raises(ValueError, match="uniform: expected a method that can be trained"):
        ablation.ablate("uniform", "toy", [], [0], out=tmp_path, checkpoints=tmp_path)


def test_no_arms_is_told_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(tables.TableProblem, match=r"make them with: python benchmark\.py ablate"):
        tables.ablation_table(tmp_path, "toy")


def test_a_paired_difference_covers_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for trial in range(60):
        base = rng.normal(size=(1, 80)) + np.zeros((3, 1))
        mean, low, high, _ = paired_difference(base + rng.normal(0.3, 1, base.shape), base, seed=trial)
        assert low <= mean <= high
        hits += low <= 0.3 <= high
    assert hits >= 52


def test_a_paired_difference_of_nothing_and_of_something():
    base = np.random.default_rng(0).normal(size=(3, 50))
    assert paired_difference(base, base, seed=0) == (0, 0, 0, 1)
    mean, low, high, p = paired_difference(base + 1, base, seed=0)
    assert (mean, low, high) == pytest.approx((1, 1, 1))
    assert p == 1 / 2000
    some = np.where(np.arange(50) < 10, np.nan, base + 1)
    assert paired_difference(some, base, seed=0)[0] == pytest.approx(1)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    np.testing.assert_allclose(holm([]), [])
