"""diffusion_readout_fast: `diffusion_readout` with the features of one diffusion step instead of six."""

from pathlib import Path

from salbench.registry import SaliencyMethod, register

from ..diffusion_readout import DiffusionReadout


@register
class DiffusionReadoutFast(DiffusionReadout):
    """Learned: diffusion_readout with one U-Net call per image instead of six.

    The only step is at the clean image. It is no inversion to noise, so this method cannot edit images.
    """

    timesteps = 1
    weights = Path(__file__).resolve().parent / "osie_train.safetensors"  # trained on the small backbone
    edit, edit_batch = SaliencyMethod.edit, SaliencyMethod.edit_batch
