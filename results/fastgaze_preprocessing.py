"""Compare what fastgaze's published file leaves open: other candidates for one choice at a time.

    python results/fastgaze_preprocessing.py --data-root DIR

Every twentieth image of osie_train is scored by the protocol `tuebingen`. Differences are paired over images.
"""

import argparse
import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import nn
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # measure this clone, whatever is installed

from salbench import load_dataset, registry
from salbench.metrics import Pair, measure
from salbench.protocol import PROTOCOLS, Others, Truth
from salbench.sample import Sample

EVERY = 20  # images
METRICS = ("auc", "sauc", "nss", "kl", "ig")
MEANS = {"VGG's": (103.939, 116.779, 123.68), "127.5": (127.5,) * 3, "none": (0.0,) * 3}  # blue, green, red
PROTOCOL = PROTOCOLS["tuebingen"]
METHOD = registry.create("fastgaze")
PART = sys.modules[type(METHOD).__module__]  # the method's own functions


@dataclass(frozen=True)
class Candidate:
    """One value for each choice. The defaults are those of `fastgaze`."""

    length: int = 512  # pixels of the longer side
    channels: str = "BGR"
    mean: str = "VGG's"
    filters: str = "as stored"
    border: str = "zeros"
    pooling: str = "maximum"
    gaussian: int = 16  # size of the map that the last layer smooths, times that of the cells; 0 for no Gaussian
    output: str = "log density"


CHOICES = {
    "length": (256, 320, 384, 448, 640),
    "channels": ("RGB",),
    "mean": ("127.5", "none"),
    "filters": ("flipped",),
    "border": ("replicate",),
    "pooling": ("mean",),
    "gaussian": (0, 1, 2, 4),
    "output": ("density", "logit of a density"),
}


def candidates() -> Iterator[tuple[str, Candidate]]:
    """What is printed, and the candidate; `fastgaze` first."""
    yield "fastgaze", Candidate()
    for choice, values in CHOICES.items():
        for value in values:
            yield f"{choice}: {value}", replace(Candidate(), **{choice: value})


def network_of(candidate: Candidate) -> nn.Module:
    """The published network, with the candidate's filters, border and pooling."""
    network = copy.deepcopy(METHOD.network)
    for name, module in list(network.named_children()):
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.padding_mode = candidate.border
            if candidate.filters == "flipped":
                module.weight.data = module.weight.data.flip(2, 3)
        if isinstance(module, nn.MaxPool2d) and candidate.pooling == "mean":
            setattr(network, name, nn.AvgPool2d(2))
    return network


def cells_of(candidate: Candidate, network: nn.Module, sample: Sample) -> torch.Tensor:
    """Logits (1, h, w) of the cells of an image."""
    sides = [max(1, round(candidate.length * side / (max(sample.size) * PART.STRIDE))) for side in sample.size]
    height, width = (PART.STRIDE * side for side in sides)
    resized = np.array(Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy(resized).flip(-1).float() - torch.tensor(MEANS[candidate.mean])
    pixels = pixels if candidate.channels == "BGR" else pixels.flip(-1)
    with torch.inference_mode():
        return network(pixels.permute(2, 0, 1)[None])


def prediction_of(candidate: Candidate, cells: torch.Tensor) -> np.ndarray:
    """The prediction (h, w) from the logits of the cells: a log density or a density, as `output` says."""
    rows, columns = cells.shape[1:]
    if candidate.gaussian:
        cells = PART.smoothed(PART.enlarged(cells, (candidate.gaussian * rows, candidate.gaussian * columns)))
    logits = PART.enlarged(cells, (PART.STRIDE * rows, PART.STRIDE * columns))[0].numpy()
    return {
        "log density": logits,
        "density": logits - logits.min(),
        "logit of a density": 1 / (1 + np.exp(-logits)),
    }[candidate.output]


def scored(candidate: Candidate, prediction: np.ndarray, sample: Sample, truth: Truth) -> list[float]:
    """The values of METRICS."""
    output = "log_density" if candidate.output == "log density" else "density"
    prepared = PROTOCOL.prepare(prediction, output, sample.size)
    pair = Pair(prepared.point_map, prepared.density_map, **vars(truth))
    scores = measure(pair, PROTOCOL.options)
    return [scores[name] for name in METRICS]


def main() -> None:
    """Score every candidate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="see the page on data sets")
    samples = load_dataset("osie_train", parser.parse_args().data_root).samples
    others = Others(samples, PROTOCOL)
    samples = samples[::EVERY]
    truths = [PROTOCOL.truth(sample, others) for sample in samples]
    rows, kept, first = [], {}, None
    for name, candidate in tqdm(list(candidates())):
        network = network_of(candidate)
        key = replace(candidate, gaussian=0, output="")  # what the cells depend on
        if key not in kept:
            kept[key] = [cells_of(candidate, network, sample) for sample in samples]
        scores = np.array(
            [
                scored(candidate, prediction_of(candidate, cells), sample, truth)
                for cells, sample, truth in zip(kept[key], samples, truths, strict=True)
            ]
        )
        first = scores if first is None else first
        gain = (scores - first)[:, METRICS.index("ig")]
        margin = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
        rows.append([name, *(f"{mean:.3f}" for mean in scores.mean(0)), f"{gain.mean():+.3f} ±{margin:.3f}"])
    print(tabulate(rows, ["candidate", *METRICS, "change of ig"], tablefmt="pipe", disable_numparse=True))


if __name__ == "__main__":
    main()
