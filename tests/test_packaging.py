"""What pyproject.toml says of the package: every folder and every weight file is in the wheel."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOOL = PROJECT["tool"]["setuptools"]


def _folder(package):
    """The folder of a package, by the longest entry of package-dir."""
    prefix = max((p for p in TOOL["package-dir"] if package == p or package.startswith(f"{p}.")), key=len)
    return ROOT.joinpath(TOOL["package-dir"][prefix], *package.removeprefix(prefix).split(".")[1:])


def test_every_folder_with_code_is_a_package():
    packages = {_folder(package) for package in TOOL["packages"]}
    code = {path.parent for top in ("salbench", "methods") for path in (ROOT / top).rglob("*.py")}
    assert code <= packages
    assert all(folder.is_dir() for folder in packages)


def test_everything_that_methods_read_is_shipped():
    data = {_folder(package): patterns for package, patterns in TOOL["package-data"].items()}
    for path in (ROOT / "methods").rglob("*"):
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__":
            folder = next(folder for folder in data if path.is_relative_to(folder))
            name = path.relative_to(folder).as_posix()
            assert any(fnmatch(name, pattern.replace("**", "*")) for pattern in data[folder]), path


def test_extras_build_on_each_other():
    extras = PROJECT["project"]["optional-dependencies"]
    base = " ".join(PROJECT["project"]["dependencies"])
    assert not any(heavy in base for heavy in ("torch", "diffusers", "transformers", "accelerate", "safetensors"))
    assert "salbench[networks]" in extras["diffusion"]
    assert {"salbench[networks]", "salbench[diffusion]"} <= set(extras["all"])
