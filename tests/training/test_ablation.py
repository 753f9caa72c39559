"""One augmentation at a time, end to end on toy samples, and the statistics of its table."""

import csv
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from salbench import plots, registry, results
from salbench.ablation import arms, report
from salbench.ablation import run as ablation
from salbench.ablation.splits import Ablation, AblationProblem
from salbench.datasets import DATASETS, Dataset, Row
from salbench.metrics import METRICS
from salbench.runtime import Runtime
from salbench.stats import holm

ROOT = Path(__file__).resolve().parents[2]
TOY = Ablation("toy")


@pytest.fixture(scope="module")
def splits(make_spots):
    return {
        name: Dataset(name, make_spots(n, seed), gaze="none", licence="none", citation="none")
        for name, n, seed in (("toy_train", 20, 0), ("toy_val", 6, 1), ("other", 5, 2))
    }


def use(splits, patch):
    patch.setattr(ablation, "load", lambda name, root: splits[name])
    for name in splits:
        patch.setitem(DATASETS, name, Row("toys", "all", "Toys.", test="toy_val" if name == "toy_train" else None))


@pytest.fixture
def ablate(add_learned, splits, tmp_path, monkeypatch):
    """A function of augmentations and seeds: run the ablation of a toy method on toy splits, for one epoch."""
    use(splits, monkeypatch)

    def run(augmentations, seeds=(0, 1), name="own", ablated=TOY, epochs=1, **options):
        if name not in registry.available():
            add_learned(name)
        places = {"out": tmp_path / "r", "checkpoints": tmp_path / "c", "runtime": Runtime(progress=False)}
        return ablation.ablate(name, ablated, augmentations, seeds, recipe={"epochs": epochs}, **places, **options)

    return run


@pytest.fixture(scope="module")
def finished(splits, learned_folder, tmp_path_factory):
    """Results of the arms hflip and invert, with two seeds."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        use(splits, patch)
        learned_folder(patch, folder / "methods", "own")
        places = {"out": folder / "r", "checkpoints": folder / "c", "runtime": Runtime(progress=False)}
        assert ablation.ablate("own", TOY, ["hflip", "invert"], [0, 1], recipe={"epochs": 1}, **places) == []
    return folder / "r"


def test_every_arm_is_trained_scored_and_kept(finished):
    found = results.read_all(finished, "toy_ablation")
    assert set(found) == {f"own+{arm}-seed{seed}" for arm in ("none", "hflip", "invert") for seed in (0, 1)}
    assert len({r.identity["weights"] for r in found.values()}) == 6


def test_no_arm_stops_early(ablate, tmp_path, monkeypatch):
    monkeypatch.setattr("salbench.training.loop.Trainer._best", lambda self: self.history[0])  # never gets better
    monkeypatch.setattr("salbench.training.loop.Trainer._validate", lambda self: dict.fromkeys(METRICS, 0.5))
    assert ablate(["hflip"], seeds=[0], epochs=12) == []
    steps = {p.parent.parent.name: json.loads(p.read_text())["step"] for p in (tmp_path / "c").rglob("last.json")}
    assert steps == {"none": 12 * 3, "hflip": 12 * 3}, "twelve epochs of three batches"


def rows(text):
    """First cells of the lines of Markdown tables."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]


def test_tables_of_means_and_of_changes(finished):
    text = report.table(finished, TOY)
    assert rows(text) == ["method", "none", "hflip", "invert", "method", "hflip", "invert"]
    assert text.count("6 test images x 2 seeds") == 2
    by_arm = arms.read(finished, TOY)["own"]
    assert f"{by_arm['hflip']['kl'].mean():.3f}" in text
    assert f"{(by_arm['hflip']['kl'] - by_arm['none']['kl']).mean():+.3f} ±" in text
    assert report.table(finished, TOY, "latex").count(r"\begin{tabular}") == 2
    lines = list(csv.DictReader(io.StringIO(report.table(finished, TOY, "csv"))))
    assert [line["method"] for line in lines] == ["hflip", "invert"]
    expected = (by_arm["invert"]["nss"] - by_arm["none"]["nss"]).mean()
    assert float(lines[1]["nss"]) == pytest.approx(expected, rel=1e-9)
    assert 0 < float(lines[1]["nss_p"]) <= 1


def test_methods_are_compared_each_with_its_own_baseline(ablate, tmp_path):
    ablate(["hflip"], seeds=[0])
    ablate(["invert"], seeds=[0, 1], name="other")
    found = arms.read(tmp_path / "r", TOY)
    assert {m: (list(a), a["none"]["kl"].shape) for m, a in found.items()} == {
        "other": (["none", "invert"], (2, 6)), "own": (["none", "hflip"], (1, 6)),
    }  # fmt: skip


def copy_without(finished, folder, ending):
    """A folder with the finished results but for those whose names end so."""
    shutil.copytree(finished, folder)
    gone = [path for path in (folder / "toy_ablation").iterdir() if path.stem.endswith(ending)]
    assert gone
    for path in gone:
        path.unlink()
    return folder


def test_only_seeds_that_all_arms_have_are_compared(finished, tmp_path):
    found = arms.read(copy_without(finished, tmp_path / "r", "invert-seed0"), TOY)
    assert {arm: scores["kl"].shape for arm, scores in found["own"].items()} == {
        "none": (1, 6), "hflip": (1, 6), "invert": (1, 6),
    }  # fmt: skip


def test_how_an_augmentation_is_shown_is_part_of_the_arm(ablate, tmp_path):
    ablate(["hflip"], seeds=[0])
    ablate(["hflip"], seeds=[0], p=[0.25, 0.5])
    ablate(["hflip"], seeds=[0], labels="as_released")
    found = results.read_all(tmp_path / "r", "toy_ablation")
    assert set(found) == {
        f"own+{arm}-seed0" for arm in ("none", "hflip", "hflip-p0.25", "hflip-p0.5", "hflip-as_released")
    }
    assert len({r.identity["weights"] for r in found.values()}) == 5
    records = {p.parent.parent.name: json.loads(p.read_text()) for p in (tmp_path / "c").rglob("last.json")}
    recipes = {arm: record["identity"]["recipe"] for arm, record in records.items()}
    assert (recipes["hflip-p0.25"]["p"], recipes["hflip-as_released"]["labels"]) == (0.25, "as_released")
    assert (recipes["none"]["p"], recipes["none"]["labels"]) == (None, "moved")


def test_every_edit_set_with_every_loss_is_an_arm():
    sets = [SimpleNamespace(name=name) for name in ("a", "b")]
    losses = [{"kl": 1.0}, {"agreement": 1.0, "increase": 0.5}]
    plans = ablation._arms([], [0.25, 0.5], "moved", sets, losses)
    assert list(plans) == [
        "none",
        "edits-a-p0.25-kl1", "edits-a-p0.5-kl1",
        "edits-a-p0.25-agreement1-increase0.5", "edits-a-p0.5-agreement1-increase0.5",
        "edits-b-p0.25-kl1", "edits-b-p0.5-kl1",
        "edits-b-p0.25-agreement1-increase0.5", "edits-b-p0.5-agreement1-increase0.5",
    ]  # fmt: skip
    last = plans["edits-b-p0.5-agreement1-increase0.5"]
    assert (last.edits, last.augment) == (sets[1], ())
    assert last.recipe == {"p": 0.5, "edit_losses": losses[1]}


def test_the_figure_shows_every_change_on_its_side(finished):
    changes = arms.changes(arms.read(finished, TOY)["own"])
    panels = plots.ablation(finished, TOY).axes
    for panel, metric in zip(panels, METRICS, strict=True):
        dots = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1}
        names = [label.get_text() for label in panels[0].get_yticklabels()]
        assert {names[y]: x for y, x in dots.items() if y < len(names)} == {
            arm: cells[metric]["mean"] for arm, cells in changes.items()
        }
        left, right = panel.get_xlim()
        assert (right > left) == METRICS[metric].higher_is_better


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


def test_a_change_is_the_mean_difference_of_the_same_images(finished):
    by_arm = arms.read(finished, TOY)["own"]
    changes = arms.changes(by_arm)
    for name in METRICS:
        expected = np.mean(by_arm["hflip"][name] - by_arm["none"][name])
        assert changes["hflip"][name]["mean"] == pytest.approx(expected, rel=1e-9)
        assert changes["hflip"][name]["low"] <= expected <= changes["hflip"][name]["high"]


def test_arms_by_another_recipe_are_refused_before_anything_is_trained(ablate, tmp_path):
    ablate(["hflip"], seeds=[0])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        AblationProblem, match=r"made with other settings \(epochs 2 instead of 1\)\. All arms of own need"
    ):
        ablate(["invert"], seeds=[0], epochs=2)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["popout", "osie_train", "osei"])
def test_a_data_set_without_splits_is_told(name, tmp_path):
    known = "eyecrowd, nus_scene, osie, salicon"
    expected = rf"expected a data set with splits to train and to test on, {known}, or folder:X .*got {name}; --test"
    with pytest.raises(AblationProblem, match=expected):
        ablation.ablate("lite", Ablation(name), [], [0], out=tmp_path, checkpoints=tmp_path, runtime=Runtime())


@pytest.mark.parametrize(
    ("dataset", "trained_on", "tested_on", "named"),
    [
        ("osie", ["osie_train"], "osie_test", "osie"),
        ("osie+augsal_contrast100", ["osie_train", "augsal_contrast100"], "osie_test", "osie+augsal_contrast100"),
        ("nus_scene", ["nus_scene_train"], "nus_scene_test", "nus_scene"),
        ("salicon", ["salicon_train"], "salicon_val", "salicon"),
        ("folder:a+b/mine", ["folder:a+b/mine_train"], "folder:a+b/mine_test", "folder+mine"),
    ],
)
def test_a_data_set_says_which_split_is_for_testing(dataset, trained_on, tested_on, named):
    ablated = Ablation(dataset)
    assert (ablated.trained_on, ablated.tested_on) == (trained_on, tested_on)
    assert Ablation(dataset, test="nus_scene").tested_on == "nus_scene"
    assert ablated.folder == Ablation(dataset, test=tested_on).folder == f"{named}_ablation"


def test_a_data_set_without_a_test_split_needs_one(splits, monkeypatch):
    use(splits, monkeypatch)
    monkeypatch.setitem(DATASETS, "toy_train", Row("toys", "all", "Toys."))
    with pytest.raises(
        AblationProblem, match=r"expected a data set with splits to train and to test on, .*got toy; --test names"
    ):
        _ = TOY.tested_on
    assert Ablation("toy", test="other").folder == "toy_ablation-other"


def test_another_protocol_or_test_split_has_its_own_results_of_the_same_trainings(ablate, tmp_path):
    ablate(["hflip"], seeds=[0])
    trained = {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()}
    first = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*.csv")}
    others = {
        "toy_ablation-augsal": Ablation("toy", protocol="augsal"),
        "toy_ablation-other": Ablation("toy", test="other"),
        "toy_ablation-other-mit": Ablation("toy", test="other", protocol="mit"),
    }
    for ablated in others.values():
        assert ablate(["hflip"], seeds=[0], ablated=ablated) == []
    assert {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()} == trained
    assert {p: p.read_bytes() for p in first} == first
    assert {p.name for p in (tmp_path / "r").iterdir()} == {"toy_ablation", *others}
    for folder, ablated in others.items():
        (protocol,) = {r.identity["protocol"] for r in results.read_all(tmp_path / "r", folder).values()}
        assert protocol == ablated.protocol
        assert arms.read(tmp_path / "r", ablated)["own"]["none"]["kl"].shape == (1, 5 if ablated.test else 6)
    text = report.table(tmp_path / "r", others["toy_ablation-other-mit"])
    assert "own trained on toy (tested on other, protocol mit), one augmentation at a time" in text


def test_images_that_are_trained_on_are_no_test(ablate, tmp_path):
    expected = "--test: expected images that are not trained on, got toy_train, 20 of whose images are in toy_train"
    with pytest.raises(AblationProblem, match=expected):
        ablate([], ablated=Ablation("toy", test="toy_train"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_unknown_protocol_is_told_before_anything_is_trained(ablate, tmp_path):
    with pytest.raises(ValueError, match=r"protocol: expected one of tuebingen, .*got 'mti'"):
        ablate([], ablated=Ablation("toy", protocol="mti"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_papers_rows_stand_beside_means_of_its_data_and_protocol(finished, tmp_path, monkeypatch):
    ablated = Ablation("salicon", protocol="augsal")
    shutil.copytree(finished / "toy_ablation", tmp_path / ablated.folder)
    means, changes = report.table(tmp_path, ablated).split("change against no augmentation")
    assert "| TempSAL (paper, table2) " in means
    assert "- (paper): claimed by the paper, not measured here." in means
    assert "paper" not in changes
    assert "(paper" not in report.table(finished, TOY)


def test_images_without_a_value_are_counted_once_beneath_each_table(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    for path in (tmp_path / "r" / "toy_ablation").glob("*.csv"):
        lines = list(csv.DictReader(path.open(newline="")))
        lines[0] |= dict.fromkeys(("auc", "nss"), "")
        lines[0]["cc"] = lines[1]["cc"] = ""
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
    text = report.table(tmp_path / "r", TOY)
    assert text.count("- Means over fewer images: auc, nss: 5 of 6; cc: 4 of 6.\n") == 2
    assert "fewer images" not in report.table(finished, TOY)


def test_one_seed_is_said_to_say_little(finished, tmp_path):
    alone = copy_without(finished, tmp_path / "r", "seed1")
    assert "One seed: intervals and stars do not say" in report.table(alone, TOY)
    assert "One seed" not in report.table(finished, TOY)


def test_an_ablation_that_is_kept_with_the_project_can_be_resumed(ablate, tmp_path):
    """Its recipe has every field that a new one would be compared by."""
    ablate([], seeds=[0])
    kept, new = (next(folder.rglob("recipes/*.json")) for folder in (ROOT / "results" / "osie_ablation", tmp_path))
    assert json.loads(kept.read_text()).keys() == json.loads(new.read_text()).keys()


def test_a_method_without_a_recipe_is_refused(ablate, tmp_path):
    with pytest.raises(ValueError, match="uniform: expected a method that can be trained"):
        ablation.ablate("uniform", TOY, [], [0], out=tmp_path, checkpoints=tmp_path, runtime=Runtime())


def test_no_arms_is_told_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(AblationProblem, match=r"found nothing; make them with: salbench ablate"):
        report.table(tmp_path, TOY)


def test_a_baseline_alone_is_told(ablate, tmp_path):
    ablate([], seeds=[0])
    with pytest.raises(AblationProblem, match=r"found none \(seeds \[0\]\)"):
        report.table(tmp_path / "r", TOY)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    np.testing.assert_allclose(holm([]), [])


def test_all_arms_start_from_the_same_weights(ablate, tmp_path):
    """Trainings from another start have folders of their own, and results of two starts are not mixed."""
    ablate([], seeds=[0])
    start = tmp_path / "c" / "toy_ablation" / "own" / "none" / "seed0"
    with pytest.raises(AblationProblem, match=r"\(start from-none-seed0-\w{8} instead of nothing\). All arms of own"):
        ablate([], seeds=[0], start=start)
    shutil.rmtree(tmp_path / "r")
    assert ablate([], seeds=[0], start=str(start)) == []
    (folder,) = (tmp_path / "c" / "toy_ablation" / "own").glob("none-from-none-seed0-*")
    assert json.loads((folder / "seed0" / "best.json").read_text())["identity"]["start"]["from"] == "checkpoint"
    notes = results.read_all(tmp_path / "r", "toy_ablation")["own+none-seed0"].notes
    assert notes == ["trained from a checkpoint (trained on 14 images of toy_train) on 14 images of toy_train."]


def test_a_start_that_a_method_does_not_have_is_told_before_anything_is_trained(ablate, tmp_path):
    with pytest.raises(registry.MethodProblem, match="own: expected to start from none, or from a checkpoint"):
        ablate([], start="imagenet")
    assert not list(tmp_path.rglob("*.safetensors"))
