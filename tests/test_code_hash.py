"""Hashes of code change with what the code does and with nothing else."""

import ast

import pytest

from salbench import code_hash, registry

METHOD = '''"""Docstring."""
import numpy as np
from salbench.maps import resize  # a comment
from salbench import maps
from salbench.registry import SaliencyMethod, register

LONG_SIDE = 64


@register
class Own(SaliencyMethod):
    """One line."""

    def predict(self, sample):
        """Another."""
        return maps.minmax(resize(sample.image.mean(2), (LONG_SIDE, 9)))
'''


@pytest.fixture
def write(tmp_path):
    def write(text, name="own.py"):
        (tmp_path / name).write_text(text)
        return code_hash.method_hash([tmp_path / "own.py"], tmp_path)

    return write


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of salbench's place for shared code, with two files of it to edit."""
    folder = tmp_path / "salbench"
    folder.mkdir()
    monkeypatch.setattr(code_hash, "PACKAGE", folder)

    def forget():
        for cached in (code_hash._parsed, code_hash._bindings, code_hash._definition, code_hash._shared_imports):
            cached.cache_clear()

    def write(**files):
        forget()
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)

    yield write
    forget()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment"),
        ('"""Docstring."""\n', ""),
        ('"""One line."""', '"""Two\n\n    lines."""'),
        ("LONG_SIDE = 64\n", "LONG_SIDE = (\n    64\n)\n"),
        ("LONG_SIDE = 64\n", "LONG_SIDE: int = 64\n"),
        ("def predict(self, sample):", "def predict(self, sample: 'Sample') -> np.ndarray:"),
        ("(LONG_SIDE, 9)", "(LONG_SIDE, 0x9)"),
    ],
)
def test_what_changes_nothing(write, old, new):
    first = write(METHOD)
    assert old in METHOD
    if ": int" in new:  # an annotated assignment is another statement with the same effect
        assert code_hash._text(ast.parse(new)) != code_hash._text(ast.parse(old))
    else:
        assert write(METHOD.replace(old, new)) == first


@pytest.mark.parametrize(
    ("old", "new"),
    [("64", "65"), ("mean(2)", "mean(1)"), ("maps.minmax(", "maps.to_density("), ("@register\n", ""), ("'own'", "'x'")],
)
def test_what_changes_the_hash(write, old, new):
    first = write(METHOD + "NAME = 'own'\n")
    assert write((METHOD + "NAME = 'own'\n").replace(old, new)) != first


class TestSharedCode:
    MAPS = "SIZE = 3\ndef resize(x):\n    return helper(x) + SIZE\ndef helper(x):\n    return x\n"
    MAPS += "def other(x):\n    return 1\n"
    OWN = "from salbench.maps import resize\nA = resize\n"

    @pytest.mark.parametrize(
        ("old", "new", "counts"),
        [
            ("return helper(x) + SIZE", "return helper(x) - SIZE", True),
            ("SIZE = 3", "SIZE = 4", True),
            ("def helper(x):\n    return x", "def helper(x):\n    return -x", True),
            ("def other(x):\n    return 1", "def other(x):\n    return 2", False),
            ("def other", "# a comment\ndef other", False),
        ],
    )
    def test_counts_if_it_is_reached(self, write, package, old, new, counts):
        package(maps=self.MAPS)
        first = write(self.OWN)
        package(maps=self.MAPS.replace(old, new))
        assert (write(self.OWN) != first) == counts

    def test_is_followed_from_module_to_module(self, write, package):
        package(
            maps="from salbench.deep import helper as h\ndef resize(x):\n    return h(x)\n",
            deep="def helper(x):\n    1\n",
        )
        first = write(self.OWN)
        package(deep="def helper(x):\n    2\n")
        assert write(self.OWN) != first

    def test_loaded_on_demand_does_not_count(self, write, package):
        package(
            maps="def resize(x):\n    from salbench.deep import helper\n    return helper(x)\n",
            deep="def helper(x):\n    1\n",
        )
        first = write(self.OWN)
        package(deep="def helper(x):\n    2\n")
        assert write(self.OWN) == first

    @pytest.mark.parametrize("shared", ["registry", "writing", "code_hash"])
    def test_what_computes_no_prediction_does_not_count(self, write, package, shared):
        package(**{shared: "def helper(x):\n    return x\n"})
        first = write(f"from salbench.{shared} import helper\nA = helper\n")
        package(**{shared: "def helper(x):\n    return 1\n"})
        assert write(f"from salbench.{shared} import helper\nA = helper\n") == first


def test_every_method_reaches_the_shared_code_it_calls():
    def reached(name):
        path = registry.find(name)
        return code_hash._reached(code_hash._file(path).used)

    assert "maps.py:resize" in reached("spectral_residual")
    assert "maps.py:blur" not in reached("spectral_residual")
    assert "maps.py:_kernel" in reached("center_bias")
    assert reached("uniform") == {}


def test_definitions_by_name():
    resize = code_hash.definition_hash("salbench.maps.resize")
    assert resize == code_hash.definition_hash("salbench.maps.resize")
    assert resize != code_hash.definition_hash("salbench.maps.blur")
