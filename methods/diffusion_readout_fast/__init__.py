"""diffusion_readout_fast: the paper's model with the features of one diffusion step in place of six."""

from pathlib import Path

from salbench.registry import SaliencyMethod, register

from ..diffusion_readout import DiffusionReadout


@register
class DiffusionReadoutFast(DiffusionReadout):
    """`diffusion_readout` on the image without noise alone: one call of the U-Net instead of six.

    One step is no inversion to noise, so that there is nothing to edit.
    """

    timesteps = 1
    weights = Path(__file__).resolve().parent / "osie_train.safetensors"  # on the small backbone
    edit = SaliencyMethod.edit
