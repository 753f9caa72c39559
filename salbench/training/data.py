"""Samples -> training batches: decoded, augmented, resized and turned into arrays ahead of the training step."""

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from salbench.augment import augment, get
from salbench.files import FileProblem, hash_bytes
from salbench.maps import density_from_fixations, resize

log = logging.getLogger(__name__)
AHEAD = 3  # batches prepared while one is trained on


class NoTrainingData(ValueError):
    """Samples that nothing can be learned from; says what was expected."""


class EditBatch(NamedTuple):
    """What the K edited images of a batch were made from, and what their edits should do.

    Attributes:
        index: int64 (K,), their places in the batch, rising.
        originals: uint8 (K, H, W, 3), the images without the edit.
        masks: float32 (K, H, W), the regions, 0 to 1.
        directions: float32 (K,), +1 where saliency inside the region should rise, -1 where it should fall.
    """

    index: np.ndarray
    originals: np.ndarray
    masks: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, samples, size):
        """The edits among samples, as arrays at `size`; None where there are none."""
        index = [i for i, sample in enumerate(samples) if sample.edit is not None]
        if not index:
            return None
        edits = [samples[i].edit for i in index]
        originals = np.stack([_resized_image(edit.read_original(), size) for edit in edits])
        masks = np.stack([resize(edit.read_mask(), size) for edit in edits]).astype(np.float32)
        return cls(np.array(index), originals, masks, np.array([edit.direction for edit in edits], np.float32))

    def part(self, index, of, device):
        """Of every `of`-th image of the batch from `index` on, as tensors on `device`; None where none is edited."""
        kept = self.index % of == index
        if not kept.any():
            return None
        arrays = self.index[kept] // of, self.originals[kept], self.masks[kept], self.directions[kept]
        return EditBatch(*(torch.from_numpy(a).to(device) for a in arrays))


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        ids: list of str.
        images: uint8 (B, H, W, 3).
        density: float32 (B, H, W), peaking at one.
        counts: float32 (B, H, W), fixations per pixel.
        samples: list of `Sample`, as shown: augmented, at their own size; for captions, boxes and categories.
        progress: share of the training's steps that lie behind this one.
        edits: `EditBatch`, or None where no image is an edited one.
    """

    ids: list
    images: np.ndarray
    density: np.ndarray
    counts: np.ndarray
    samples: list
    progress: float = 0.0
    edits: EditBatch | None = None

    def part(self, index, of, device):
        """Every `of`-th image from `index` on, as tensors on `device`."""
        arrays = (torch.from_numpy(a[index::of]).to(device) for a in (self.images, self.density, self.counts))
        edits = None if self.edits is None else self.edits.part(index, of, device)
        return Batch(self.ids[index::of], *arrays, self.samples[index::of], edits=edits)


class TrainingSet:
    """Samples, and augmented copies of them, as arrays of one size.

    Augmented, a sample is shown in turn as itself and as each of its copies, one of them per epoch: over as many
    epochs the network sees all of "the originals plus their copies", in steps and an order of originals that do
    not depend on what the copies are. With `p`, copies replace originals by chance instead; so do edited versions,
    which keep the ground truth of their originals. What does not change from epoch to epoch is kept in memory.

    Args:
        samples: with fixations or a distributed density; others are left out, with a warning.
        size: (height, width) of the network's input.
        copies: names of augmentations, one copy of every sample for each; copies left without fixations are
            dropped and counted in `empty_copies`, {name: number}.
        p: probability of the original; else one of `copies`, or of `edits` a type and then one of it (paper section
            5.3), is shown, drawn anew in every epoch (and the original after all where a copy is left without
            fixations). None: all in turn, as said above.
        edits: `salbench.edits.EditSet`, instead of `copies` and with `p`; a sample that it has no edits of is always
            shown as it is.
        labels: of the copies, as for `augment`.
        jitter: augmentations each applied with probability 1/2, anew in every epoch.
        seed: of copies, chance, jitter and order.
        budget: bytes of arrays to keep; the rest is read again when it is needed.

    Raises:
        NoTrainingData: fewer than two usable samples, or edits of none of them.
        ValueError: edits with copies, or without `p`.
    """

    def __init__(
        self, samples, size, *, copies=(), p=None, edits=None, labels="moved", jitter=(), seed=0, budget=2**31
    ):
        usable = [s for s in samples if s.read_density is not None or (s.fixations is not None and len(s.fixations))]
        if len(usable) < len(samples):
            log.warning("%d images without fixations are left out of training", len(samples) - len(usable))
        if len(usable) < 2:
            raise NoTrainingData(f"expected at least two images with fixations to train on, got {len(usable)}")
        self.size, self.jitter, self.seed = tuple(size), tuple(jitter), seed
        self.copies, self.p, self.labels = [get(name) for name in copies], p, labels
        self.empty_copies = dict.fromkeys(copies, 0)
        self._versions = [self._with_copies(sample) if p is None else [sample] for sample in usable]
        self._edited = [[] for _ in usable] if edits is None else self._with_edits(usable, edits)
        self._kept, self._room = {}, budget // (size[0] * size[1] * (3 + 2 + 2))

    def __len__(self):
        return len(self._versions)

    @property
    def edited(self):
        """All edited versions of all samples."""
        return [version for versions in self._edited for version in versions]

    def _with_edits(self, samples, edits):
        if self.copies or self.p is None:
            raise ValueError("edits: expected p, the probability of the original, and no copies with them")
        edited = [edits.versions(sample) for sample in samples]
        if not any(edited):
            expected, got = (", ".join(ids[:3]) for ids in ([s.id for s in samples], edits.sources))
            raise NoTrainingData(
                f"edit set {edits.name}: expected edits of the images that are trained on, {len(samples)} such as "
                f"{expected}; got edits of {got or 'none'}. Edits are found by the ids of their sources"
            )
        return edited

    def _with_copies(self, sample):
        versions = [sample]
        for augmentation in self.copies:
            made = augment(sample, augmentation, seed=self.seed, labels=self.labels)
            self.empty_copies[augmentation.name] += made.empty
            versions += [] if made.empty else [made.sample]
        return versions

    def batches(self, epoch, batch_size):
        """Yield every `Batch` of an epoch, in a random order that depends on seed and epoch alone.

        A last, smaller batch is left out, unless it is the only one.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        batch_size = min(batch_size, len(self))
        groups = [order[i : i + batch_size] for i in range(0, len(self) - batch_size + 1, batch_size)]
        with ThreadPoolExecutor(1) as pool:
            ahead = deque()
            for group in groups:
                ahead.append(pool.submit(self._batch, group, epoch))
                if len(ahead) > AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _batch(self, group, epoch):
        samples, images, densities, counts = zip(*(self._item(int(i), epoch) for i in group), strict=True)
        arrays = np.stack(images), np.stack(densities).astype(np.float32), np.stack(counts).astype(np.float32)
        edits = EditBatch.of(samples, self.size)
        return Batch([sample.id for sample in samples], *arrays, list(samples), edits=edits)

    def _item(self, i, epoch):
        """(sample, image, density, counts) of sample `i` as it is shown in `epoch`."""
        kept = shown = self._versions[i][(i + epoch) % len(self._versions[i])]
        rng = np.random.default_rng([self.seed, epoch, i])
        edited = self._edited[i]
        if self.p is not None and (self.copies or edited) and rng.random() >= self.p:
            shown = _drawn(edited, rng) if edited else self._replaced(shown, rng)
        if self.jitter:
            shown = self._jittered(shown, rng)
        arrays = self._kept.get(shown.id) if shown is kept else None
        if arrays is None:
            arrays = to_arrays(shown, self.size)
            if shown is kept and len(self._kept) < self._room:
                self._kept[shown.id] = arrays
        return shown, *arrays

    def _replaced(self, sample, rng):
        augmentation = self.copies[rng.integers(len(self.copies))]
        made = augment(sample, augmentation, seed=int(rng.integers(2**31)), labels=self.labels)
        return sample if made.empty else made.sample

    def _jittered(self, sample, rng):
        for name in self.jitter:
            if rng.random() < 0.5:
                moved = augment(sample, name, seed=int(rng.integers(2**31)))
                sample = sample if moved.empty else moved.sample
        return sample


def _drawn(edited, rng):
    """One of edited versions: first a type, then one of its strengths."""
    types = list(dict.fromkeys(version.edit.type for version in edited))
    type = types[rng.integers(len(types))]
    of_type = [version for version in edited if version.edit.type == type]
    return of_type[rng.integers(len(of_type))]


def mark(sample):
    """12 hex digits by which a sample is known again, in another split or run: a hash of its id and fixations."""
    return hash_bytes(sample.id, b"" if sample.fixations is None else sample.fixations.tobytes())[:12]


def to_arrays(sample, size):
    """(image, density, counts) of a sample at `size`: uint8 (H, W, 3), float16 and uint16 (H, W).

    The density peaks at one, which float16 keeps to three digits.

    Raises:
        FileProblem, ValueError: a broken picture or density; the message names the sample.
    """
    try:
        image = _resized_image(sample.image, size)
        counts, density = np.zeros(size, np.uint16), None
        if sample.fixations is not None:
            scale = np.array([size[1] / sample.size[1], size[0] / sample.size[0]])
            points = np.minimum(sample.fixations * scale, np.nextafter([size[1], size[0]], 0))
            np.add.at(counts, tuple(points[:, ::-1].astype(int).T), 1)
        if sample.read_density is not None:
            density = resize(sample.read_density(), size)
        else:
            density = density_from_fixations(points, size, sample.sigma * np.sqrt(scale.prod()))
        return image, (density / max(density.max(), 1e-30)).astype(np.float16), counts
    except FileProblem:
        raise
    except ValueError as error:
        raise ValueError(f"{sample.id}: {error}") from error


def _resized_image(image, size):
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
