"""A tiny backbone for all tests of the method, and editors with it."""

import editors
import pytest
from modules import part


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
    return part("backbone").Backbone.load(tiny_backbone_folder)


@pytest.fixture(scope="module")
def trained(request, tiny_backbone):
    """A network as if trained, for as many steps as the file of tests says in STEPS."""
    return editors.trained(tiny_backbone, request.module.STEPS)


@pytest.fixture(scope="module")
def reading(request, tiny_backbone, trained):
    """The editor with that network."""
    return editors.editor.Editor(tiny_backbone, request.module.STEPS, trained)


@pytest.fixture(scope="module")
def blind(request, tiny_backbone):
    """The editor without it."""
    return editors.editor.Editor(tiny_backbone, request.module.STEPS)


@pytest.fixture(scope="module")
def inverted(reading):
    """The inversion of an image with a caption."""
    return reading.invert(editors.IMAGE, [editors.CAPTION])[0]
