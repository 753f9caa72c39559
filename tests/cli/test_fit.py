"""`salbench fit`."""

import json
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

from salbench import registry
from salbench.edits import NewEdit, Writer
from salbench.files import hash_file
from salbench.training_plan import Plan


@pytest.fixture(scope="module")
def edit_set(tmp_path_factory):
    """A folder with a brighter version of each of the first images of popout."""
    from salbench.datasets import load

    folder = tmp_path_factory.mktemp("edits") / "bright"
    writer = Writer(folder, {"licence": "CC0", "edits": {"brightness": [0.1]}})
    for sample in load("popout").samples[:4]:
        mask = np.zeros(sample.size)
        mask[:10, :10] = 1
        edit = NewEdit("brightness", 0.1, 0.1, 1, np.minimum(sample.image, 235) + np.uint8(20))
        writer.add(sample.id, sample.image, {"brightness": mask}, [edit], source=sample.image)
    writer.finish()
    return folder


@pytest.fixture
def planned(network, monkeypatch, tmp_path, salbench):
    """A function of further words: what `fit` was called with, without training anything."""
    cls = registry.SaliencyMethod
    registry.add_folder(network)
    cls = registry.get("small")
    calls = []
    monkeypatch.setattr(cls, "fit", lambda self, samples, plan: calls.append((self.runtime, samples, plan)) or self)

    def fit(*words):
        assert salbench("fit", "--methods", "small", "--dataset", "popout", "--out", tmp_path / "c", *words) == 0
        (call,) = calls
        return SimpleNamespace(runtime=call[0], samples=call[1], plan=call[2])

    return fit


def test_a_network_is_trained_and_scored_by_the_command_that_is_printed(network, salbench, tmp_path, capsys):
    out = tmp_path / "checkpoints"
    fit = "fit", "--methods-dir", network, "--methods", "small", "--dataset", "popout", "--limit", 4, "--out", out
    assert salbench(*fit) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("trained; score it with: ")
    command = shlex.split(printed.partition(": ")[2])
    folder = out / "small" / "popout_first4" / "seed0"
    assert command == [
        *("salbench", "run", "--dataset", "NAME"),
        *("--methods", f"small:{folder}", "--methods-dir", str(network)),
    ]
    run = [word.replace("NAME", "popout") for word in command[1:]]
    assert salbench(*run, "--limit", 3, "--out", tmp_path / "r") == 0
    printed = capsys.readouterr().out
    assert "| small+popout_first4-seed0 " in printed
    assert "small+popout_first4-seed0: trained on " in printed
    before = (folder / "last.safetensors").read_bytes()
    assert salbench(*fit) == 0  # nothing is left to do
    assert (folder / "last.safetensors").read_bytes() == before


class TestPlan:
    def test_of_data_alone(self, planned, tmp_path):
        fit = planned("--limit", 5, "--seed", 3, "--workers", 2)
        assert fit.plan == Plan(tmp_path / "c" / "small" / "popout_first5" / "seed3", "popout_first5")
        assert len(fit.samples) == 5
        assert (fit.runtime.seed, fit.runtime.workers) == (3, 2)

    def test_of_augmentations_in_turn(self, planned, tmp_path):
        plan = planned("--augment", "hflip,vflip", "--epochs", 2, "--batch-size", 4).plan
        assert plan.folder == tmp_path / "c" / "small" / "popout+hflip+vflip" / "seed0"
        assert plan.augment == ("hflip", "vflip")
        assert plan.recipe == {"epochs": 2, "batch_size": 4}

    @pytest.mark.parametrize(("words", "p"), [(["--p", "0.25"], 0.25), (["--mode", "replace"], 0.5)])
    def test_of_augmentations_by_chance(self, words, p, planned, tmp_path):
        plan = planned("--augment", "hflip", *words).plan
        assert plan.folder == tmp_path / "c" / "small" / f"popout+hflip-p{p:g}" / "seed0"
        assert plan.recipe == {"p": p}

    def test_of_edits(self, planned, edit_set, tmp_path):
        plan = planned("--augment", f"edits:{edit_set}").plan
        assert plan.folder == tmp_path / "c" / "small" / "popout+edits-bright-p0.5" / "seed0"
        assert (plan.augment, plan.edits.name, plan.recipe) == ((), "bright", {"p": 0.5})

    def test_of_edits_with_other_losses(self, planned, edit_set, tmp_path):
        plan = planned("--augment", f"edits:{edit_set}", "--p", "0.25", "--edit-losses", "kl=1,increase=0.5").plan
        name = "popout+edits-bright-p0.25-kl1-increase0.5"
        assert plan.folder == tmp_path / "c" / "small" / name / "seed0"
        assert plan.recipe == {"p": 0.25, "edit_losses": {"kl": 1.0, "increase": 0.5}}

    def test_of_another_start(self, planned, tmp_path):
        start = registry.get("lite").weights
        plan = planned("--augment", "hflip", "--p", "0.5", "--from", start).plan
        assert plan.start == str(start)
        name = f"popout+hflip-p0.5-from-lite-osie_train-{hash_file(start)[:8]}"
        assert plan.folder == tmp_path / "c" / "small" / name / "seed0"

    def test_of_the_usual_start(self, planned, tmp_path):
        plan = planned("--from", "none").plan
        assert (plan.start, plan.folder) == ("none", tmp_path / "c" / "small" / "popout" / "seed0")

    def test_of_several_data_sets(self, planned, images, tmp_path):
        fit = planned("--dataset", f"popout,folder:{images}", "--limit", 2)
        assert fit.plan.dataset == "popout_first2+folder+mine_first2"
        assert [sample.id for sample in fit.samples[-2:]] == ["a", "b"]
        assert len(fit.samples) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--p", "0.5"], "--p requires --augment"),
        (["--mode", "replace"], "--mode requires --augment"),
        (["--augment", "hflip", "--mode", "copies", "--p", "0.5"], "--p requires --mode replace; got copies"),
        (["--augment", "edits:SET", "--mode", "copies"], "edits require --mode replace; got copies"),
        (["--augment", "hflip", "--edit-losses", "kl=1"], "--edit-losses requires --augment edits:DIR"),
        (["--augment", "hflip,edits:SET"], "expected either augmentations or edit sets (edits:DIR), got both"),
        (["--augment", "edits:nowhere"], "nowhere: expected the folder of an edit set"),
        (["--augment", "hflop"], "Did you mean 'hflip'"),
        (["--methods", "center_bias"], "center_bias is fitted in every run, so there is nothing to train"),
        (["--methods", "uniform"], "uniform cannot be trained"),
        (["--methods", "small:FOLDER"], "small:FOLDER: expected the name of a method alone"),
        (["--dataset", "popout,popout"], "expected unique ids"),
        (["--from", "imagenet"], "small: expected to start from none, or from a checkpoint or folder of another"),
        (["--from", "nowhere"], "training of small, got nowhere"),
        (["--limit", "1"], "expected at least two images with fixations"),
    ],
)
def test_errors_before_anything_is_written(words, message, network, edit_set, salbench, tmp_path, capsys):
    words = [word.replace("SET", str(edit_set)) for word in words]
    fit = "fit", "--methods-dir", network, "--methods", "small", "--dataset", "popout", "--out", tmp_path / "c"
    assert salbench(*fit, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_other_settings_in_the_same_folder_are_refused(network, salbench, tmp_path, capsys):
    fit = "fit", "--methods-dir", network, "--methods", "small", "--dataset", "popout", "--limit", 4, "--out", tmp_path
    assert salbench(*fit) == 0
    facts = json.loads((tmp_path / "small" / "popout_first4" / "seed0" / "best.json").read_text())
    assert facts
    assert salbench(*fit, "--epochs", 2) == 2
    assert "epochs" in capsys.readouterr().err
