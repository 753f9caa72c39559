"""The page on licences names every package that salbench requires, and every file of weights that ships."""

import importlib.util
import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from salbench import checksums

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/pages/reference/licences.md").read_text(encoding="utf-8")
AGAIN = "write the table again: python docs/licences.py"


@pytest.fixture(scope="module")
def licences():
    """The program that writes the table."""
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(start, end):
    """{first cell: other cells} of the tables between two texts of the page."""
    part = PAGE[PAGE.index(start) : PAGE.index(end, PAGE.index(start))]
    cells = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line[:1] == "|"
    ]
    return {first: others for first, *others in cells if not set(first) <= {"-"}}


def test_every_requirement_is_in_the_table_with_its_licence(licences):
    table = rows(licences.BEGIN, licences.END)
    required = {canonicalize_name(need.name) for needs in licences.direct().values() for need in needs}
    assert {"numpy", "torch", "diffusers", "pooch", "h5py", "onnxruntime", "jinja2"} <= required
    assert required <= table.keys(), AGAIN
    assert all(others[1] for others in table.values()), "a package states no licence; look for it in its repository"


def test_the_program_finds_what_others_require(licences):
    needed = licences.packages()
    assert needed["numpy"] == "base"
    assert needed["contourpy"] == "base"  # of matplotlib
    assert licences.licence("tabulate") == "MIT"


def test_every_weights_file_is_in_the_table():
    assert (
        rows("## Weights that ship", "## Weights that you fetch").keys() - {"in `methods/"}
        == checksums.listed(ROOT / "methods").keys()
    )


def test_no_licence_forbids_use():
    """Copyleft beyond a file would bind those who build on salbench."""
    assert not re.search(r"\b(A?GPL|GNU (Affero )?General|SSPL|NonCommercial)", PAGE[PAGE.index("## Packages") :])
