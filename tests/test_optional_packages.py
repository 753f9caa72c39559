import pytest

from salbench import optional_packages


@pytest.mark.parametrize(
    ("package", "target"),
    [
        ("torch", "'salbench[networks]'"),
        ("diffusers.models", "'salbench[diffusion]'"),
        ("no_such", "no_such"),
        ("tensorboard", "'salbench[logs]'"),
    ],
)
def test_says_what_installs_a_missing_package(package, target):
    error = ModuleNotFoundError(name=package)
    assert optional_packages.needs(error) == f"needs {package.partition('.')[0]}: python -m pip install {target}"


@pytest.mark.parametrize(
    ("others", "extra"),
    [
        (["numpy", "torch"], "networks"),
        (["diffusers", "os"], "diffusion"),
        (["transformers", "no_such"], "diffusion"),
        (["pysaliency"], "test"),
    ],
)
def test_names_the_extra_that_brings_all_at_once(others, extra):
    assert optional_packages.needs(ModuleNotFoundError(name="torch"), others).endswith(f"'salbench[{extra}]'")


def test_an_underscore_in_a_module_is_a_dash_in_its_package():
    assert optional_packages.needs(ModuleNotFoundError(name="huggingface_hub")).endswith("'salbench[networks]'")
