"""The model card that a training leaves."""

import json
import re

import pytest

from salbench import registry
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.training_plan import Plan


@pytest.fixture
def folder(add_learned, make_spots, tmp_path):
    """The folder of a finished training of the method `own`."""
    add_learned("own")
    fit(tmp_path / "run", make_spots)
    return tmp_path / "run"


def fit(folder, make_spots, epochs=2):
    method = registry.create("own", Runtime(progress=False, seed=3))
    method.fit(make_spots(12), Plan(folder, "spots_train", recipe={"epochs": epochs}))


def test_says_what_people_ask(folder):
    card, record = (folder / "README.md").read_text(), checkpoint.read(folder / "best.safetensors").record
    assert card.startswith("---\nlibrary_name: salbench\nlicense: unknown\n")
    assert 'datasets: ["spots_train"]\n---\n' in card
    assert f"- trained on {record.data.images} images of spots_train." in card
    assert "Random seed: 3." in card
    assert "`salbench weights get --methods own --hub OWNER/REPO`" in card
    recipe = json.loads(re.search(r"```json\n(.*?)```", card, re.DOTALL)[1])
    assert recipe == json.loads((folder / "best.json").read_text())["identity"]["recipe"]
    best = record.history[-1]
    assert f"those of epoch {best['epoch']:g}, after {record.step} steps" in card
    assert f"| nss | {best['nss']:.4f} |" in card
    assert "## Licence\n\nNone stated." in card


def test_the_printed_way_to_load_works(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    spec = re.search(r'load_method\("(.*?)"\)', (folder / "README.md").read_text())[1]
    assert registry.create(spec).trained.record.step > 0


def test_an_edited_card_stays(folder, make_spots):
    (folder / "README.md").write_text("mine")
    fit(folder, make_spots)
    assert (folder / "README.md").read_text() == "mine"


def test_a_lost_card_is_written_again(folder, make_spots):
    card = (folder / "README.md").read_text()
    (folder / "README.md").unlink()
    fit(folder, make_spots)
    assert (folder / "README.md").read_text() == card
