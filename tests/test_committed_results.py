"""What is committed in results/ was measured with the code and the weights that are committed beside it."""

from functools import cache
from pathlib import Path

import pytest

from salbench import registry, results, tables

FOLDER = Path(__file__).resolve().parents[1] / "results"
PATHS = sorted(path for path in FOLDER.glob("*/*.json") if path.stem in registry.available())


def test_there_are_some():
    assert {"osie_test", "salicon2015_examples"} <= {path.parent.name for path in PATHS}


@cache
def now(name):
    """Hashes of a method's code and weights, and its notes."""
    method = registry.create(name)
    return method.code_hash(), method.weights_hash(), method.notes()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_is_of_this_code_and_these_weights(path):
    found, (code, weights, notes) = results.read(path), now(path.stem)
    again = f"run again: salbench run --methods {path.stem} --dataset {path.parent.name} --overwrite"
    assert found.identity["code"] == code, again
    assert found.identity["weights"] == weights, again
    assert found.notes == notes, again


def test_the_printed_table_is_that_of_the_files():
    page = (FOLDER / "best_on_osie.md").read_text(encoding="utf-8")
    assert tables.dataset_table(FOLDER, "osie_test") in page, "print again: salbench table --dataset osie_test"


def test_the_readme_shows_the_same_numbers():
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in readme.splitlines() if "±" in line]
    printed = tables.dataset_table(FOLDER, "osie_test")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if "±" in line]
    by_name = {line[0]: set(line[1:]) for line in lines}
    assert len(shown) > 3
    for name, *cells in shown:
        assert set(cells) <= by_name[name], name
