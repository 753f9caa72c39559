"""Draw the figures of the README and the site: predictions beside fixations, an overlay, and all classical models.

    python docs/figure.py [--data-root DIR]

The upper row is a display of `popout`, which salbench generates. The lower row is photograph 1008 of OSIE (Xu et al.
2014, MIT licence). The overlay is drawn on photograph 1365. Classical models are shown on four photographs.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from salbench import load_dataset, load_method, predict, registry
from salbench.overlay import draw_overlay
from salbench.protocol import PROTOCOLS
from salbench.sample import Sample

SHOWN = {"popout": "orientation_04", "osie_test": "1008"}  # data set: id of the image
METHODS = ("spectral_residual", "attention_center", "gaze_lite")
OVERLAID = "1365"  # of osie_test
CLASSICAL_ON = "1008", "1120", "1232", "1365"  # of osie_test
CLASSICAL_COLUMNS = 7
ASSETS = Path(__file__).parent / "pages" / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of the README and the site.")
    parser.add_argument("--data-root", help="folder that holds OSIE (default: $SALBENCH_DATA, then the cache)")
    root = parser.parse_args().data_root
    _save_predictions([_sample(name, id, root) for name, id in SHOWN.items()])
    _save_classical([_sample("osie_test", id, root) for id in CLASSICAL_ON])
    image = _sample("osie_test", OVERLAID, root).read_image()
    overlay = draw_overlay(image, predict(image, density=True))
    Image.fromarray(overlay).save(ASSETS / "overlay.jpg", quality=90)


def _save_predictions(samples: Sequence[Sample]) -> None:
    figure, axes = plt.subplots(len(samples), 1 + len(METHODS), figsize=(10, 3.9), layout="constrained")
    for row, sample in zip(axes, samples, strict=True):
        _draw(row, sample)
    for axis, title in zip(axes[0], ("image and fixations", *METHODS), strict=True):
        axis.set_title(title, fontsize=11)
    picture = _drawn(figure).quantize(256)  # a third of the size
    picture.save(ASSETS / "predictions.png", optimize=True)


def _drawn(figure: Figure) -> Image.Image:
    with io.BytesIO() as file:
        figure.savefig(file, dpi=100)
        return Image.open(file).convert("RGB")


def _save_classical(samples: Sequence[Sample]) -> None:
    """Each photograph takes two rows: the image, then the map of each classical model, all with the fixations."""
    names = registry.members("classical")
    rows = -(-(1 + len(names)) // CLASSICAL_COLUMNS)
    figure, axes = plt.subplots(
        rows * len(samples), CLASSICAL_COLUMNS, figsize=(11, 1.25 * rows * len(samples)), layout="constrained"
    )
    for sample, own in zip(samples, axes.reshape(len(samples), -1), strict=True):
        own[0].imshow(sample.read_image())
        own[0].set_title("image", fontsize=9)
        for axis, name in zip(own[1:], names, strict=False):
            method = load_method(name)
            prepared = PROTOCOLS["tuebingen"].prepare(method.predict(sample.blind()), method.output, sample.size)
            axis.imshow(prepared.point_map, cmap="gray")
            axis.set_title(name, fontsize=9)
        for axis in own[: 1 + len(names)]:
            axis.scatter(*sample.fixations.T - 0.5, s=2, c="red", linewidths=0)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    _drawn(figure).save(ASSETS / "classical.jpg", quality=85)


def _sample(dataset: str, id: str, root: str | None) -> Sample:
    return next(sample for sample in load_dataset(dataset, root).samples if sample.id == id)


def _draw(axes: Sequence[Axes], sample: Sample) -> None:
    image = sample.read_image()
    height, width = sample.size
    axes[0].imshow(image)
    axes[0].scatter(*sample.fixations.T - 0.5, s=9, c="cyan", edgecolors="black", linewidths=0.5)
    for axis, name in zip(axes[1:], METHODS, strict=True):
        method = load_method(name)
        prepared = PROTOCOLS["tuebingen"].prepare(method.predict(sample.blind()), method.output, sample.size)
        axis.imshow(image.mean(axis=2), cmap="gray")
        axis.imshow(prepared.point_map, cmap="inferno", alpha=0.7)
    for axis in axes:
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])


if __name__ == "__main__":
    main()
