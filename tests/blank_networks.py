"""Networks whose random weights are not drawn, for tests that load others into them at once."""

from contextlib import contextmanager

import pytest
from torch.nn import init


@contextmanager
def blank_networks():
    """Within it, new networks keep whatever is in their memory; drawing numbers takes longer than reading weights."""
    with pytest.MonkeyPatch.context() as patch:
        for name in dir(init):
            if name.endswith(("uniform_", "normal_")):
                patch.setattr(init, name, lambda tensor, *settings, **more: tensor)
        yield
