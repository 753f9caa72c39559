"""`--cluster`: every verb that takes it writes what it writes on one machine, byte for byte, and counts workers."""

import json
import shutil

import pytest
from forked_workers import local_cluster

DATES = {"date", "seconds"}  # what differs between two runs that are otherwise the same
BRIGHTENER = '''
import numpy as np
from salbench.edits import MadeEdits, NewEdit
from salbench.registry import SaliencyMethod, register

@register
class Brightener(SaliencyMethod):
    """Brightness by addition."""

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True, scaled=True):
        image = np.minimum(sample.image.astype(int) + 40, 255).astype(np.uint8)
        edit = NewEdit("brightness", 0.5, 0.5, 1, image)
        left = np.arange(sample.size[1]) < sample.size[1] / 2
        return MadeEdits(sample.image, left * np.ones(sample.size), [edit], sample.caption, word)
'''
MINE = "--dataset", "folder:mine"
COMMANDS = {
    "run": ("run", "--methods", "center_bias,inter_observer,spectral_residual,gaze_lite", *MINE,
            "--save-maps", "{out}/maps", "--out", "{out}"),
    "batches": ("run", "--methods", "lite", "--batch-size", "2", *MINE, "--out", "{out}"),
    "own": ("run", "--methods", "small,from_folder:maps", "--init", "random", "--methods-dir", "networks", *MINE,
            "--out", "{out}"),
    "matrix": ("matrix", "--methods", "uniform", "--datasets", "folder:x_test,folder:mine", "--out", "{out}"),
    "submit": ("submit", "--methods", "center_bias", *MINE, "--format", "tuebingen", "--out", "{out}"),
    "predict": ("predict", "mine/images", "--method", "lite", "--out", "{out}"),
    "edit": ("edit", "--methods", "brightener", "--methods-dir", "networks", *MINE, "--type", "brightness",
             "--strength", "0.5", "--mask", "saliency", "--out", "{out}"),
    "study": ("study", "--edits", "edits", "--methods", "spectral_residual,uniform", "--out", "{out}"),
    "ablate": ("ablate", "--methods", "small", "--methods-dir", "networks", "--augmentations-dir", "augmentations",
               "--augmentations", "darker", "--seeds", "0", "--dataset", "folder:x", "--out", "{out}",
               "--checkpoints", "{out}/checkpoints"),
    "table2": ("table2", "--methods", "small", "--methods-dir", "networks", "--edits", "edits", "--dataset", "folder:x",
               "--out", "{out}", "--checkpoints", "{out}/checkpoints"),
}  # fmt: skip
DARKER = '''
import numpy as np
from salbench.augment import photometric

@photometric
def darker(image, rng, *, grey_levels=40):
    """Darker by 40 grey levels."""
    return np.clip(image.astype(int) - grey_levels, 0, 255).astype(np.uint8)
'''


@pytest.fixture(scope="module")
def cluster():
    """Address of a cluster of two processes."""
    with local_cluster(2) as started:
        yield started.scheduler_address


@pytest.fixture
def place(tmp_path, network, images, write_data_set, salbench, monkeypatch):
    """The working folder, with everything that the commands read."""
    monkeypatch.chdir(tmp_path)
    (network / "brightener.py").write_text(BRIGHTENER)
    (tmp_path / "augmentations").mkdir()
    (tmp_path / "augmentations" / "darker.py").write_text(DARKER)
    write_data_set(tmp_path / "x_train", "abcdefghij", 0)
    write_data_set(tmp_path / "x_test", "klm", 1)
    shutil.copytree(images / "images", "maps")
    edit = [word.replace("{out}", "edits").replace("mine", "x_train") for word in COMMANDS["edit"]]
    assert salbench(*edit) == 0
    return tmp_path


def content(path):
    """What a file holds; of JSON without what may differ between two runs that are otherwise the same."""
    if path.suffix != ".json":
        return path.read_bytes()
    return json.loads(path.read_text(), object_hook=lambda found: {k: v for k, v in found.items() if k not in DATES})


def files(folder):
    """{path: content}, except checkpoints: they hold dates. The results of a training name the hash of its weights."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "checkpoints" not in path.parts]
    return {str(path.relative_to(folder)): content(path) for path in found}


@pytest.mark.parametrize("name", COMMANDS)
def test_same_bytes_as_on_one_machine(name, place, cluster, salbench, capsys):
    def execute(*more):
        words = [word.replace("{out}", "out") for word in COMMANDS[name]]
        assert salbench(*words, *more) == 0
        (place / "out").rename(place / ("cluster" if more else "one"))
        return capsys.readouterr()

    clustered, alone = execute("--cluster", cluster), execute()
    assert clustered.out == alone.out
    assert ", 2 workers]" in clustered.err, "the progress bar"
    assert "workers" not in alone.err
    assert files(place / "cluster") == files(place / "one")
