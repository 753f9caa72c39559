"""What is committed in results/ was measured with the code and the weights that are committed beside it."""

from pathlib import Path

import pytest

from salbench import registry, results

FOLDER = Path(__file__).resolve().parents[1] / "results"
PATHS = sorted(path for path in FOLDER.glob("*/*.json") if path.stem in registry.available())


def test_there_are_some():
    assert {"osie_test", "salicon2015_examples"} <= {path.parent.name for path in PATHS}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_is_of_this_code_and_these_weights(path):
    found, method = results.read(path), registry.create(path.stem)
    again = f"run again: python benchmark.py --methods {path.stem} --dataset {path.parent.name} --overwrite"
    assert found.key.code == registry.code_hash(path.stem), again
    assert found.key.weights == method.weights_hash(), again
    assert found.notes == method.notes(), again
