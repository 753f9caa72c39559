"""Results of cheap methods on six images of the embedded data set, with saved maps, and the site made of them."""

import json
import shutil
from types import SimpleNamespace

import pytest

from salbench import report, results
from salbench.datasets import load
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime

METHODS = "center_bias", "spectral_residual", "uniform", "inter_observer"
EVIL = "from_folder+<img src=x onerror=window.hacked=1>"  # a label from a file that somebody sent
QUIET = Runtime(workers=1, progress=False)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders: `results` of six images, and `maps`. One method has a name that tries to run a script."""
    folder = tmp_path_factory.mktemp("runs")
    found = SimpleNamespace(results=folder / "results", maps=folder / "maps", dataset="popout_first6")
    dataset = load("popout").first(6)
    evaluation = Evaluation(dataset, PROTOCOLS["tuebingen"], found.results, QUIET, save_maps=found.maps)
    for name in METHODS:
        assert isinstance(evaluation.run(name), results.Result)
    place = results.paths(found.results, found.dataset, "uniform")
    content = json.loads(place.json.read_text())
    content["identity"]["method"] = EVIL
    content["notes"] = [f"trained on {EVIL}"]
    place.json.with_name(f"{EVIL}.json").write_text(json.dumps(content))
    shutil.copy(place.csv, place.csv.with_name(f"{EVIL}.csv"))
    return found


@pytest.fixture(scope="session")
def site(runs, tmp_path_factory):
    """Folder of the site of these results."""
    out = tmp_path_factory.mktemp("site") / "site"
    assert report.build(out, report.Content(runs.results, maps=runs.maps), QUIET) == []
    return out
