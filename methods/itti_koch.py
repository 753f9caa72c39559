"""Itti, Koch and Niebur's model: contrasts of colour, intensity and orientation between scales."""

from functools import partial

import numpy as np

from salbench.registry import register
from salbench.sample import Sample

from . import _itti_gbvs_toolbox, _saliencytoolbox
from ._classical import Classical

MODELS = {
    "gbvs_toolbox": _itti_gbvs_toolbox.saliency,
    "saliencytoolbox": partial(_saliencytoolbox.saliency, normalise=_saliencytoolbox.iterative),
    "saliencytoolbox_localmax": partial(_saliencytoolbox.saliency, normalise=_saliencytoolbox.favour_single_peak),
}


@register
class IttiKoch(Classical):
    """Classical, no training: contrasts of colour, intensity, orientation (Itti, Koch and Niebur 1998).

    Variants:

    - gbvs_toolbox, the default: as in the GBVS toolbox, 0 to 1, an eighth of the image's size. It departs from the
      paper. Levels 2 and 4, and 3 and 5, are compared, by their squared difference. Red-green and blue-yellow contrast
      have no sign. Intensity is the largest colour value. The orientations are added before the operator N, which
      favours maps with one high peak. The map fades at the borders and is blurred. An image with a side below 44
      pixels gets a map of zeros, because the toolbox halves no level with a side of 10 pixels or less: centre and
      surround are the same level. A difference below 1e-6 counts as rounding.
    - saliencytoolbox: as in the SaliencyToolbox of Walther and Koch (2006) with the iterative N of Itti and Koch
      (2000), a sixteenth of the image's size. In the first and last four rows of orientation maps the toolbox divides
      zero by zero; here they are 0. The Gabor filters see black around the image, so a constant image is salient near
      its borders.
    - saliencytoolbox_localmax: the same with the N of the paper.

    Both variants of the SaliencyToolbox depart from the paper, too. Red is compared with green and blue with yellow in
    each pixel, relative to its brightest colour; a dark pixel has no colour. Levels are resized by their nearest
    samples, and contrasts fade at the borders.

    Time and memory grow with the number of pixels.
    """

    output = "map"
    paper = "Itti, Koch, Niebur (1998), A Model of Saliency-Based Visual Attention for Rapid Scene Analysis, TPAMI 20"
    options = tuple(MODELS)

    def predict(self, sample: Sample) -> np.ndarray:
        """The variant's map at its own size."""
        return MODELS[self.option](sample.image)
