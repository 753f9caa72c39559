"""Weights that ship: each has its hash in the repository, and a changed byte is refused."""

import shutil
import subprocess
from pathlib import Path

import pytest

from salbench import checksums, cli, registry

METHODS = Path(__file__).resolve().parent.parent / "methods"
SUFFIXES = (".npz", ".safetensors", ".npy", ".pth", ".pt", ".onnx", ".h5", ".bin")
AGAIN = 'cd methods && git ls-files "*.npz" "*.safetensors" | xargs sha256sum > SHA256SUMS'


def test_every_weights_file_is_listed():
    shipped = {path.relative_to(METHODS).as_posix() for path in METHODS.rglob("*") if path.suffix in SUFFIXES}
    assert shipped == checksums.listed(METHODS).keys(), AGAIN


def test_they_are_the_files_that_were_listed():
    run = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", checksums.SUMS], cwd=METHODS)
    assert run.returncode == 0, AGAIN


def test_nothing_is_listed_where_there_is_no_file(tmp_path):
    assert checksums.listed(tmp_path) == {}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of `aim` as it ships, in place of the methods' folder."""
    shutil.copytree(METHODS / "aim", tmp_path / "aim")
    for path in [METHODS / checksums.SUMS, *METHODS.glob("_*.py")]:
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(registry, "_FOLDERS", [tmp_path])
    return tmp_path


def test_an_unchanged_copy_is_used(copied):
    assert registry.create("aim").label == "aim"


@pytest.mark.parametrize("change", ["a byte", "missing"])
def test_a_changed_byte_is_refused(copied, change, tmp_path, capsys):
    path = copied / "aim" / "filters.npz"
    content = bytearray(path.read_bytes())
    path.unlink()
    if change == "a byte":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(registry.ShippedFileProblem, match=r"filters\.npz: expected the file that ships with salbench"):
        registry.create("aim")
    assert cli.main(["run", "--methods", "aim", "--out", str(tmp_path / "out")]) == 1
    assert "install salbench again" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*.csv"))
