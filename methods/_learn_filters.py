"""Learn the filters of a classical model: independent components of patches of photographs (needs the extra [test]).

    python methods/_learn_filters.py aim --data-root DIR
    python methods/_learn_filters.py dva --data-root DIR
    python methods/_learn_filters.py sun --data-root DIR

This writes the filters to `filters.npz` in the model's folder, and how they were made to `filters.json`. Patches come
from random places of all photographs, resized as the model resizes an image. They are whitened and reduced to as many
principal components as the model has filters. FastICA (Hyvärinen 1999) with the contrast log cosh then finds the
rotation. The same seed and the same versions of the packages gave the same file on one machine.
"""

import argparse
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.decomposition import FastICA
from tqdm import tqdm

import salbench
from salbench import registry
from salbench.files import hash_file
from salbench.sample import Sample
from salbench.writing import atomic_write


def draw(model: Any, samples: Sequence[Sample], per_image: int, rng: np.random.Generator) -> np.ndarray:
    """float32 (len(samples) * per_image, side * side * 3) patches, flattened in MATLAB's order."""
    drawn = []
    for sample in tqdm(samples, desc="drawing patches"):
        image = model.prepared(sample.image)
        windows = sliding_window_view(image, (model.side, model.side), axis=(0, 1))  # row, column, colour, i, j
        rows, columns = (rng.integers(0, n, per_image) for n in windows.shape[:2])
        drawn.append(windows[rows, columns].transpose(0, 1, 3, 2).reshape(per_image, -1))
    patches = np.concatenate(drawn).astype(np.float32)
    return patches if model.sees_mean else patches - patches.mean(axis=1, keepdims=True)


def independent_components(patches: np.ndarray, number: int, seed: int, iterations: int) -> tuple[np.ndarray, int]:
    """Filters whose responses to patches are as independent as FastICA makes them, each of unit variance.

    Args:
        patches: (n, taps).
        number: number of filters.
        seed: random seed of the initial rotation.
        iterations: largest number of iterations.

    Returns:
        float64 (number, taps) filters, and the number of iterations done.
    """
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))  # rising; float32 would lose the smallest
    whitening = vectors[:, -number:].T / np.sqrt(values[-number:, None])
    white = ((patches - patches.mean(axis=0)) @ whitening.T).astype(np.float32)
    ica = FastICA(whiten=False, random_state=seed, max_iter=iterations, tol=1e-3).fit(white)
    return ica.components_ @ whitening, ica.n_iter_


def main() -> None:
    """Learn one model's filters and write them into its folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("aim", "dva", "sun"))
    parser.add_argument("--data-root", type=Path, help="folder with one folder per data set")
    parser.add_argument("--dataset", default="osie_train", help="photographs to learn from (default: osie_train)")
    parser.add_argument("--per-image", type=int, default=120, help="patches per photograph (default: 120)")
    parser.add_argument("--iterations", type=int, default=200, help="most iterations of FastICA (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    given = parser.parse_args()
    model, dataset = registry.create(given.model), salbench.load_dataset(given.dataset, given.data_root)
    patches = draw(model, dataset.samples, given.per_image, np.random.default_rng(given.seed))
    filters, done = independent_components(patches, model.n_filters, given.seed, given.iterations)
    model.write(filters, **model.fit_responses(filters @ patches.T))
    record = {
        "command": f"python methods/_learn_filters.py {given.model} --per-image {given.per_image} "
        f"--iterations {given.iterations} --seed {given.seed} --dataset {dataset.name}",
        "dataset": {"name": dataset.name, "images": len(dataset.samples), "fingerprint": dataset.fingerprint},
        "patches": len(patches),
        "iterations": done,
        "versions": {"python": platform.python_version()}
        | {package.__name__: package.__version__ for package in (np, scipy, sklearn, salbench)},
        "licence": "MIT",
        "hash": hash_file(model.file),
    }
    with atomic_write(model.file.with_suffix(".json")) as file:
        json.dump(record, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
