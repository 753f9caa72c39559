import pytest

from salbench import optional_packages


@pytest.mark.parametrize(
    ("package", "target"),
    [("torch", "'salbench[networks]'"), ("diffusers.models", "'salbench[diffusion]'"), ("no_such", "no_such")],
)
def test_says_what_installs_a_missing_package(package, target):
    error = ModuleNotFoundError(name=package)
    assert optional_packages.needs(error) == f"needs {package.partition('.')[0]}: python -m pip install {target}"


def test_an_underscore_in_a_module_is_a_dash_in_its_package():
    assert optional_packages.needs(ModuleNotFoundError(name="huggingface_hub")).endswith("'salbench[diffusion]'")
