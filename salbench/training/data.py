"""Samples -> training batches: decoded, augmented, resized and turned into arrays ahead of the training step."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

from salbench.augment import augment, get
from salbench.files import FileProblem
from salbench.maps import density_from_fixations, resize
from salbench.sample import Sample

if TYPE_CHECKING:
    from salbench.edits import EditSet

log = logging.getLogger(__name__)
REPEATING = {"hflip"}  # augmentations that always make the same image of an image
AHEAD = 3  # batches prepared while one is trained on
Array: TypeAlias = Any  # NumPy array as prepared, tensor in the `part` of a process


class NoTrainingData(ValueError):
    """Samples that nothing can be learned from. The message says what was expected."""


class EditBatch(NamedTuple):
    """The edits among the images of a batch; K is their number.

    Attributes:
        places: int64 (K,), their indices in the batch, rising.
        originals: uint8 (K, H, W, 3), the images without the edit.
        masks: float32 (K, H, W), the regions, 0 to 1.
        directions: float32 (K,), +1 where saliency inside the region should rise, -1 where it should fall.
    """

    places: Array
    originals: Array
    masks: Array
    directions: Array

    def part(self, index: int, of: int, device: torch.device | str) -> EditBatch | None:
        """The edits among every `of`-th image of the batch from `index` on, as tensors; None if there are none."""
        kept = self.places % of == index
        if not kept.any():
            return None
        arrays = self.places[kept] // of, self.originals[kept], self.masks[kept], self.directions[kept]
        return EditBatch(*(torch.as_tensor(a).to(device) for a in arrays))

    def pooled(self, cell: int) -> EditBatch:
        """These edits with the masks averaged in squares of `cell` pixels."""
        return self._replace(masks=avg_pool2d(self.masks, cell))


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        ids: ids of the samples, with the augmentation or edit that was shown.
        images: uint8 (B, H, W, 3).
        density: float32 (B, H, W), peak of one.
        counts: float32 (B, H, W), fixations per pixel.
        samples: as shown, so augmented, at their own size; for captions, boxes and categories.
        stage: index of the stage that the training is in; see `Recipe`.
        edits: the edits among the images, or None.
    """

    ids: list[str]
    images: Array
    density: Array
    counts: Array
    samples: list[Sample]
    stage: int = 0
    edits: EditBatch | None = None

    def part(self, index: int, of: int, device: torch.device | str) -> Batch:
        """Every `of`-th image from `index` on, as tensors on `device`: the share of one of several processes."""
        images, density, counts = (
            torch.as_tensor(a[index::of]).to(device) for a in (self.images, self.density, self.counts)
        )
        edits = None if self.edits is None else self.edits.part(index, of, device)
        return Batch(self.ids[index::of], images, density, counts, self.samples[index::of], self.stage, edits)

    def pooled(self, cell: int) -> Batch:
        """This batch, of tensors, with coarser ground truth: (B, H // cell, W // cell), for logits of that size.

        Densities and masks are averaged in squares of `cell` pixels, counts are summed. Rows and columns beyond the
        last whole square are left out.
        """
        density, counts = avg_pool2d(self.density, cell), avg_pool2d(self.counts, cell) * cell**2
        edits = self.edits and self.edits.pooled(cell)
        return self._replace(density=density, counts=counts, edits=edits)


class _Arrays(NamedTuple):
    """A sample at the size of training: uint8 (H, W, 3), float16 (H, W) with a peak of one, uint16 (H, W)."""

    image: np.ndarray
    density: np.ndarray
    counts: np.ndarray


class _Item(NamedTuple):
    """One image of a batch. An edited one has its original, uint8 (H, W, 3), and its region, float32 (H, W)."""

    sample: Sample
    arrays: _Arrays
    original: Array = None
    mask: Array = None


class TrainingSet:
    """Samples, and augmented copies of them, as arrays of one size.

    Without `p`, one version of a sample is shown per epoch: the original, then each augmented copy. After as many
    epochs as there are versions, the network has seen all of them. The number of steps and the order of the originals
    do not depend on the copies. With `p`, each image is the original with that probability; otherwise it is a random
    copy, or a random edited version, which keeps the ground truth of its original. Arrays that do not change from epoch
    to epoch are kept in memory.

    Args:
        samples: samples with fixations or a distributed density; others are left out with a warning.
        size: (height, width) of the network's input.
        copies: names of augmentations, one copy of every sample for each. Copies that lose all fixations are dropped;
            `empty_copies` counts them, {name: number}.
        p: probability of the original. Otherwise one of `copies`, drawn again in every epoch (if that loses all
            fixations, the original after all), or one of `edits`: first a type, then one of its edits (paper
            section 5.3). None: in turn.
        edits: used in place of `copies`; needs `p`. A sample without edits is always shown as it is.
        labels: what copies do to labels; see `augment`.
        jitter: augmentations, each applied with probability 1/2, drawn again in every epoch.
        seed: random seed for copies, chance, jitter and order.
        workers: number of threads that prepare images. The batches do not depend on it.
        budget: bytes of arrays to keep; the rest is read again when it is needed.

    Raises:
        NoTrainingData: fewer than two usable samples, or no sample with edits.
        ValueError: edits with copies, or without `p`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: tuple[int, int],
        *,
        copies: Sequence[str] = (),
        p: float | None = None,
        edits: EditSet | None = None,
        labels: str = "moved",
        jitter: Sequence[str] = (),
        seed: int = 0,
        workers: int = 1,
        budget: int = 2**31,
    ) -> None:
        usable = [s for s in samples if s.read_density is not None or (s.fixations is not None and len(s.fixations))]
        if len(usable) < len(samples):
            log.warning("%d images without fixations are left out of training", len(samples) - len(usable))
        if len(usable) < 2:
            raise NoTrainingData(f"expected at least two images with fixations to train on, got {len(usable)}")
        self.size, self.jitter, self.seed, self.workers = (size[0], size[1]), tuple(jitter), seed, workers
        self.copies, self.p, self.labels = [get(name) for name in copies], p, labels
        self.empty_copies = dict.fromkeys(copies, 0)
        self._versions = [self._with_copies(sample) if p is None else [sample] for sample in usable]
        self._edited: list[list[Sample]] = [[] for _ in usable] if edits is None else self._with_edits(usable, edits)
        self._kept: dict[tuple[str | None, str], _Arrays] = {}
        self._room, self._lock = budget // (size[0] * size[1] * (3 + 2 + 2)), Lock()

    def __len__(self) -> int:
        return len(self._versions)

    @property
    def edited(self) -> list[Sample]:
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
                f"{expected}; got edits of {got or 'no image'}. Edits are found by the ids of their sources"
            )
        return edited

    def _with_copies(self, sample):
        versions = [sample]
        for augmentation in self.copies:
            made = augment(sample, augmentation, seed=self.seed, labels=self.labels)
            self.empty_copies[augmentation.name] += made.empty
            versions += [] if made.empty else [made.sample]
        return versions

    def batches(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Yield every batch of an epoch, in a random order that depends on seed and epoch alone.

        A last, smaller batch is left out, unless it is the only one.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        batch_size = min(batch_size, len(self))
        pool, ahead = ThreadPoolExecutor(self.workers), deque[list[Future[_Item]]]()
        try:
            for start in range(0, len(self) - batch_size + 1, batch_size):
                ahead.append([pool.submit(self._item, int(i), epoch) for i in order[start : start + batch_size]])
                if len(ahead) > AHEAD:
                    yield _stacked([item.result() for item in ahead.popleft()])
            while ahead:
                yield _stacked([item.result() for item in ahead.popleft()])
        finally:
            pool.shutdown(cancel_futures=True)

    def _item(self, i, epoch):
        """Sample `i` as it is shown in `epoch`."""
        shown = self._shown(i, epoch)
        comes_again = self.p is None and REPEATING.issuperset(self.jitter)
        arrays = self._arrays(shown, keep=comes_again or any(shown is version for version in self._versions[i]))
        if shown.edit is None:
            return _Item(shown, arrays)
        original = _resized_image(shown.edit.read_original(), self.size)
        return _Item(shown, arrays, original, resize(shown.edit.read_mask(), self.size).astype(np.float32))

    def _shown(self, i, epoch):
        shown = self._versions[i][(i + epoch) % len(self._versions[i])]
        rng = np.random.default_rng([self.seed, epoch, i])
        edited = self._edited[i]
        if self.p is not None and (self.copies or edited) and rng.random() >= self.p:
            shown = _drawn(edited, rng) if edited else self._replaced(shown, rng)
        for name in self.jitter:
            if rng.random() < 0.5:
                moved = augment(shown, name, seed=int(rng.integers(2**31)))
                shown = shown if moved.empty else moved.sample
        return shown

    def _replaced(self, sample, rng):
        augmentation = self.copies[rng.integers(len(self.copies))]
        made = augment(sample, augmentation, seed=int(rng.integers(2**31)), labels=self.labels)
        return sample if made.empty else made.sample

    def _arrays(self, sample, *, keep):
        key = sample.dataset, sample.id
        arrays = self._kept.get(key) if keep else None
        if arrays is None:
            arrays = to_arrays(sample, self.size)
            with self._lock:
                if keep and len(self._kept) < self._room:
                    self._kept[key] = arrays
        return arrays


def _drawn(edited, rng):
    """One of several edited versions: first a type, then one of its strengths."""
    types = list(dict.fromkeys(version.edit.type for version in edited))
    type = types[rng.integers(len(types))]
    of_type = [version for version in edited if version.edit.type == type]
    return of_type[rng.integers(len(of_type))]


def _stacked(items: list[_Item]) -> Batch:
    samples = [item.sample for item in items]
    images, density, counts = (np.stack(arrays) for arrays in zip(*(item.arrays for item in items), strict=True))
    counts = counts.astype(np.float32)
    return Batch([s.id for s in samples], images, density.astype(np.float32), counts, samples, edits=_edits(items))


def _edits(items: list[_Item]) -> EditBatch | None:
    edited = [(i, item, item.sample.edit) for i, item in enumerate(items) if item.sample.edit is not None]
    if not edited:
        return None
    return EditBatch(
        places=np.array([i for i, _, _ in edited]),
        originals=np.stack([item.original for _, item, _ in edited]),
        masks=np.stack([item.mask for _, item, _ in edited]),
        directions=np.array([edit.direction for _, _, edit in edited], np.float32),
    )


def to_arrays(sample: Sample, size: tuple[int, int]) -> _Arrays:
    """A sample's image, density and fixation counts at `size`.

    The density's peak is one; float16 keeps it to three digits.

    Raises:
        FileProblem, ValueError: a broken picture or density; the message names the sample.
    """
    try:
        image = _resized_image(sample.image, size)
        counts = np.zeros(size, np.uint16)
        scale = np.divide(size, sample.size)
        if sample.fixations is not None:
            points = np.minimum(sample.fixations * scale[::-1], np.nextafter([size[1], size[0]], 0))
            np.add.at(counts, tuple(points[:, ::-1].astype(int).T), 1)
        if sample.read_density is not None:
            density = resize(sample.read_density(), size)
        else:
            vertical, horizontal = sample.sigma * scale  # an input of another shape stretches the Gaussian too
            density = density_from_fixations(points, size, (vertical, horizontal))
        return _Arrays(image, (density / max(density.max(), 1e-30)).astype(np.float16), counts)
    except FileProblem:
        raise
    except ValueError as error:
        raise ValueError(f"{sample.id}: {error}") from error


def _resized_image(image, size):
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))
