"""Data sets of pysaliency as data sets of salbench, and back. pysaliency is imported when a function is called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from salbench.datasets import Dataset, default_sigma
from salbench.pictures import rgb_of
from salbench.sample import Sample

if TYPE_CHECKING:
    from pysaliency.datasets import Fixations, Stimuli


def to_pysaliency(dataset: Dataset) -> tuple[Stimuli, Fixations]:
    """Make pysaliency's stimuli and fixations of a data set.

    Coordinates are the same in both: pixels from 0, x first. Images are read when pysaliency asks for them.

    Args:
        dataset: any.

    Returns:
        Stimuli, whose attribute "ids" holds the ids of the samples; and fixations without times, in the order of the
        samples. Without observers, all fixations have subject 0. Samples without public fixations have none.
    """
    from pysaliency.datasets import Fixations, ObjectStimuli

    stimuli = ObjectStimuli(
        [_stimulus(s) for s in dataset.samples], attributes={"ids": [s.id for s in dataset.samples]}
    )
    points = [np.empty((0, 2)) if s.fixations is None else s.fixations for s in dataset.samples]
    observers = [
        np.zeros(len(own), int) if sample.observers is None else sample.observers
        for sample, own in zip(dataset.samples, points, strict=True)
    ]
    x, y = np.concatenate(points).T
    n = np.repeat(np.arange(len(points)), [len(own) for own in points])
    return stimuli, Fixations.create_without_history(x, y, n, np.concatenate(observers))


def _stimulus(sample: Sample) -> Any:
    from pysaliency.datasets import Stimulus, get_image_hash

    class Image(Stimulus):
        """An image that is read on each use."""

        stimulus_data = property(lambda self: sample.image)
        stimulus_id = property(lambda self: get_image_hash(sample.image))
        shape = (*sample.size, 3)
        size = tuple(sample.size)

        def __init__(self) -> None:
            pass  # the base class would keep the image

    return Image()


def from_pysaliency(stimuli: Stimuli, fixations: Fixations, name: str = "pysaliency") -> Dataset:
    """Make a data set of pysaliency's stimuli and fixations.

    Args:
        stimuli: any. Images are read on each use.
        fixations: on these stimuli.
        name: of the data set, and of its folder of results.

    Returns:
        Ids are the attribute "ids" of the stimuli if they have it, otherwise the stems of their files if these are
        unique, otherwise numbers. Densities are blurred with a Gaussian of 3 % of the longer side of each image.

    Raises:
        ValueError: fixations off their image; remove them first, for example with `fixations[mask]`.
    """
    rows = defaultdict(list)
    for row, n in enumerate(np.asarray(fixations.n, dtype=int)):
        rows[int(n)].append(row)
    samples = []
    for n, id in enumerate(_ids(stimuli)):
        height, width = map(int, stimuli.sizes[n])
        size, own = (height, width), np.array(rows[n], dtype=int)
        points = np.stack([fixations.x[own], fixations.y[own]], axis=1).astype(np.float64)
        observers = np.asarray(fixations.subjects)[own].astype(np.int64)
        read = partial(_image, stimuli, n)
        samples.append(Sample(id, size, read, points, observers, sigma=default_sigma(size)))
    unknown = "as pysaliency's data set has it"
    return Dataset(name, samples, gaze=unknown, licence=unknown, citation=unknown)


def _ids(stimuli: Stimuli) -> Sequence[str]:
    given = getattr(stimuli, "attributes", {}).get("ids")
    stems = [PurePath(path).stem for path in getattr(stimuli, "filenames", ())]
    if given is not None:
        return list(map(str, given))
    return stems if stems and len(set(stems)) == len(stems) else [str(n) for n in range(len(stimuli))]


def _image(stimuli: Stimuli, n: int) -> np.ndarray:
    return rgb_of(np.asarray(stimuli[n].stimulus_data))
