"""What every loader shares: the `Dataset` it returns and the error it raises."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from salbench.files import hash_bytes
from salbench.sample import Sample

NO_DOWNLOAD = "The embedded set needs no download: --dataset popout"


class DatasetProblem(ValueError):
    """A data set that cannot be opened; the message says what was expected where and how to get it."""


@dataclass(frozen=True)
class Dataset:
    """An ordered split of samples with unique ids.

    Attributes:
        name: as typed on the command line, and the name of its results folder.
        samples: the samples, in the data set's own order.
        gaze: how the fixations were recorded, in a few words; "simulated" where nobody looked.
        licence: of the images and fixations.
        citation: the paper to cite.
        train: name of the split that methods may be fitted on when this one is scored, or None.

    Raises:
        DatasetProblem: no samples, or two with the same id.
    """

    name: str
    samples: Sequence[Sample]
    gaze: str
    licence: str
    citation: str
    train: str | None = None

    def __post_init__(self):
        if not self.samples:
            raise DatasetProblem(f"{self.name}: expected at least one image, found none")
        seen = set()
        twice = sorted({s.id for s in self.samples if s.id in seen or seen.add(s.id)})
        if twice:
            raise DatasetProblem(f"{self.name}: expected unique ids, got {len(twice)} twice, such as {twice[0]!r}")

    def first(self, n):
        """The first `n` samples as a data set of its own name, so that its results never mix with the whole."""
        if n >= len(self.samples):
            return self
        return replace(self, name=f"{self.name}_first{n}", samples=self.samples[:n])

    @property
    def has_fixations(self):
        return all(s.fixations is not None for s in self.samples)

    @cached_property
    def fingerprint(self):
        """16 hex digits that change with the ids, sizes, fixations, observers or sigmas of the data set.

        Pixel data is left out on purpose: reading every image of a large split to start a run costs minutes.
        """
        parts = []
        for s in self.samples:
            parts += [s.id, repr(s.size), repr(s.sigma)]
            for array in (s.fixations, s.observers):
                parts.append(b"" if array is None else np.ascontiguousarray(array, dtype="<f8").tobytes())
        return hash_bytes(*parts)
