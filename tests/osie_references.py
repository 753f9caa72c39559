"""Compute the numbers that `test_protocol.py` expects on OSIE with pysaliency, SciPy and NumPy. Takes two minutes.

python tests/osie_references.py ../shared/data
"""

import sys
from pathlib import Path

import numpy as np
import pysaliency
from pysaliency import metrics
from pysaliency.roc import general_roc
from pysaliency.saliency_map_models import FullShuffledNonfixationProvider
from scipy.ndimage import gaussian_filter

from salbench.datasets import load

HEIGHT, WIDTH = SIZE = 600, 800
SIGMA = 24.0  # pixels, of the densities
BANDWIDTH, UNIFORM_SHARE = 0.03, 1e-3  # of the centre bias


def counts(points):
    """Fixations by pixel; (n, 2) whole numbers -> (H, W)."""
    found = np.zeros(SIZE)
    np.add.at(found, (points[:, 1], points[:, 0]), 1)
    return found


def auc_judd(saliency, points):
    """As AUC_Judd.m of the MIT benchmark, without jitter."""
    scaled = (saliency - saliency.min()) / np.ptp(saliency)
    found = np.sort(scaled[counts(points) > 0])[::-1]
    ranks = np.arange(1, len(found) + 1)
    above = scaled.size - np.searchsorted(np.sort(scaled, axis=None), found)
    false_alarms = (above - ranks) / (scaled.size - len(found))
    return np.trapezoid([0, *ranks / len(found), 1], [0, *false_alarms, 1])


def nss(saliency, values):
    """Of each fixation, from the saliency of its pixel."""
    return (values - saliency.mean()) / saliency.std()


def row(saliency, points, negatives):
    """All metrics of an image; `points` and `negatives` are (n, 2) pixels."""
    values, density = saliency[points[:, 1], points[:, 0]], gaussian_filter(counts(points), SIGMA)
    return {
        "auc": general_roc(values, saliency.ravel())[0],
        "sauc": general_roc(values, saliency[negatives[:, 1], negatives[:, 0]])[0],
        "nss": nss(saliency, values).mean(),
        "auc_judd": auc_judd(saliency, points),
        "cc": metrics.CC(saliency, density),
        "sim": metrics.SIM(saliency, density),
        "kl": metrics.MIT_KLDiv(saliency, density),
        "ig": np.log2(values / saliency.sum() * saliency.size).mean(),  # over the uniform density
    }


def gaussian(width):
    """(H, W), around the centre; the width is a share of each side."""
    x, y = np.arange(WIDTH) / WIDTH - 0.5, (np.arange(HEIGHT) / HEIGHT - 0.5)[:, None]
    return np.exp(-0.5 * (x**2 + y**2) / width**2)


def centre_bias(others):
    """The density of fixations (H, W) on all other images."""
    blurred = gaussian_filter(others, (BANDWIDTH * HEIGHT, BANDWIDTH * WIDTH), truncate=6)
    return (1 - UNIFORM_SHARE) * blurred / blurred.sum() + UNIFORM_SHARE / blurred.size


class Sizes(list):
    """In place of pysaliency's stimuli, of which negatives need the sizes only."""

    sizes = property(lambda self: [SIZE] * len(self))


def report(name, rows, weights):
    """Print means by image, and by fixation."""
    for kind, given in (("image", None), ("fixation", weights)):
        means = {key: np.average([each[key] for each in rows], weights=given) for key in rows[0]}
        print(name, "by", kind, {key: round(float(mean), 6) for key, mean in means.items()})


def of_images(fixations, chosen):
    """Two central Gaussians, and the centre bias, on every tenth image."""
    everything, numbers = np.concatenate(fixations), np.repeat(np.arange(len(fixations)), list(map(len, fixations)))
    given = pysaliency.Fixations.create_without_history(*everything.T.astype(float), numbers)
    provider = FullShuffledNonfixationProvider(Sizes(fixations), given)
    weights, total = [len(fixations[i]) for i in chosen], counts(everything)
    predictions = {
        "Gaussian 0.5": lambda i: gaussian(0.5),
        "Gaussian 0.2": lambda i: gaussian(0.2),
        "center_bias": lambda i: centre_bias(total - counts(fixations[i])),
    }
    for name, predict in predictions.items():
        negatives = (np.stack(provider._nonfixations_for_image(i), 1) for i in chosen)
        rows = [row(predict(i), fixations[i], found) for i, found in zip(chosen, negatives, strict=True)]
        report(name, rows, weights)


def of_halves(fixations, observers, chosen):
    """The density of even observers predicts that of odd ones."""
    rows = []
    for i in chosen:
        even = observers[i] % 2 == 0
        pair = [gaussian_filter(counts(fixations[i][half]), SIGMA) for half in (even, ~even)]
        rows.append({"cc": metrics.CC(*pair), "sim": metrics.SIM(*pair), "kl": metrics.MIT_KLDiv(*pair)})
    report("odd observers", rows, [1] * len(rows))


def of_observers(fixations, observers, chosen):
    """Each observer is predicted by all others of the image; negatives are of the other chosen images."""
    rows = []
    for i in chosen:
        points, found = fixations[i], []
        negatives = np.concatenate([fixations[j] for j in chosen if j != i])
        for observer in np.unique(observers[i]):
            own = observers[i] == observer
            saliency = gaussian_filter(counts(points[~own]), SIGMA)
            values = saliency[points[own, 1], points[own, 0]]
            auc = general_roc(values, saliency.ravel())[0]
            sauc = general_roc(values, saliency[negatives[:, 1], negatives[:, 0]])[0]
            found += [{"auc": auc, "sauc": sauc, "nss": value} for value in nss(saliency, values)]
        rows.append({key: np.mean([each[key] for each in found]) for key in found[0]})
    report("one observer", rows, [len(fixations[i]) for i in chosen])


def main(root):
    samples = load("osie", root).samples
    fixations = [np.floor(sample.fixations + 0.5).astype(int) for sample in samples]
    observers = [sample.observers for sample in samples]
    of_observers(fixations, observers, range(0, len(samples), 140))
    of_halves(fixations, observers, range(0, len(samples), 10))
    of_images(fixations, range(0, len(samples), 10))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
