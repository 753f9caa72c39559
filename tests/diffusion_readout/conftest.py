"""A tiny backbone for all tests of the method."""

import pytest


@pytest.fixture(scope="session")
def tiny_backbone_folder(tmp_path_factory):
    """Folder with a random latent diffusion model of SD 1.5's shape and small widths. Copy it to change it."""
    import tiny_backbone  # here, as diffusers takes seconds to import and most tests of the method do without

    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    tiny_backbone.write(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_backbone(tiny_backbone_folder):
    """The `Backbone` of that folder, on the CPU. Nothing may change it."""
    from modules import part

    return part("backbone").Backbone.load(tiny_backbone_folder)
