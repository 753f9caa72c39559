"""Classical augmentations that change image, fixations and density together: `augment(sample, "hflip")`.

To add an augmentation, write one decorated function in a Python file and pass its folder to `add_folder`. From a
package of your own, declare the function as an entry point (see `salbench.plugins`). A photometric one changes pixels:

    import numpy as np
    from salbench.augment import photometric

    @photometric
    def darker(image, rng, *, grey_levels=40):
        \"\"\"Darker by 40 grey levels.\"\"\"
        return np.clip(image.astype(int) - grey_levels, 0, 255).astype(np.uint8)

A geometric one moves pixels, and the labels with them. It says where each output pixel comes from:

    import numpy as np
    from salbench.augment import Geometry, geometric

    @geometric
    def zoom(size, rng, *, factor=2.0):
        \"\"\"Zoom in on the centre by 2.\"\"\"
        height, width = size
        margin = 0.5 - 0.5 / factor
        return Geometry(size, np.array([[1 / factor, 0, margin * width], [0, 1 / factor, margin * height]]))
"""

from salbench.augment.augmentation import Augmentation, geometric, photometric
from salbench.augment.catalog import (
    CHE18_FOLDERS,
    PRESETS,
    AugmentationProblem,
    add_folder,
    get,
    names,
    own_folders,
    replace_own_folders,
    select,
)
from salbench.augment.geometry import Geometry
from salbench.augment.joint import LABELS, Augmented, augment

__all__ = [
    "CHE18_FOLDERS",
    "LABELS",
    "PRESETS",
    "Augmentation",
    "AugmentationProblem",
    "Augmented",
    "Geometry",
    "add_folder",
    "augment",
    "geometric",
    "get",
    "names",
    "own_folders",
    "photometric",
    "replace_own_folders",
    "select",
]
