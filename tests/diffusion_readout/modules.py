"""Modules of methods/diffusion_readout, by the identity that the registry gives them."""

import importlib

from salbench import registry


def part(name):
    """The module methods/diffusion_readout/<name>.py."""
    return importlib.import_module(f"{registry.get('diffusion_readout').__module__}.{name}")
