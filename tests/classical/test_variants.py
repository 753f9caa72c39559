"""Variants of classical models, as typed after the name."""

import pytest

from salbench import registry


def test_an_unknown_variant_is_refused():
    with pytest.raises(registry.MethodProblem, match="spectral_residual: unknown variant 'fast'"):
        registry.create("spectral_residual:fast")
