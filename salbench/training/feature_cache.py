"""Features of a frozen network, kept on disk for trainings that show the same images many times.

Each image has a file of its own in `<folder>/<key>`. Without another folder that is `features` in the user's cache,
which can be removed at any time.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from salbench.code_hash import file_hash
from salbench.files import hash_bytes, user_cache
from salbench.training import tensor_file
from salbench.training.data import REPEATING
from salbench.weights import hash_tensors

if TYPE_CHECKING:
    from salbench.training.recipe import Recipe
    from salbench.training_plan import Plan

Extract: TypeAlias = Callable[[Tensor], list[Tensor]]

log = logging.getLogger(__name__)
RESERVE = 5 * 2**30  # bytes of the disk that are left free


def features_key(weights: Mapping[str, Tensor], files: Iterable[Path], *extracted: str) -> str:
    """16 hex digits that identify features.

    Args:
        weights: the frozen network's state dict.
        files: Python files that extract the features. What they import from salbench or relatively counts too.
        extracted: what is extracted, such as names of layers.
    """
    return hash_bytes(hash_tensors(weights), *map(file_hash, files), *extracted)


def shows_images_again(recipe: Recipe, plan: Plan) -> bool:
    """Whether a training shows the same images in many epochs, so that keeping their features pays.

    It does not if it draws random crops or colours for each epoch: their features would only fill the disk.

    Args:
        recipe: the method's recipe, as changed by the plan.
        plan: the plan of the training.
    """
    drawn = {*recipe.jitter, *(plan.augment if recipe.p is not None else ())}
    return REPEATING.issuperset(drawn)


class FeatureCache:
    """Extracts the features of an image once, and reads them from disk from then on.

    Features are rounded to float16. They depend neither on the batch nor on the precision of the training, and are the
    same whether they are extracted or read, so a training gives the same weights with an empty, full or disabled cache.
    Several processes may use one folder. A damaged file is made again.

    Args:
        key: identifies network and features; see `features_key`.
        folder: parent of the cache's own folder, by default `features` in the user's cache.
        keep: whether to use the disk; see `shows_images_again`.

    Attributes:
        folder: where the files are.
    """

    def __init__(self, key: str, folder: Path | str | None = None, *, keep: bool = True) -> None:
        self.folder = Path(folder or user_cache() / "features") / key
        self._reads = self._writes = keep

    def get(self, images: Tensor, extract: Extract) -> list[Tensor]:
        """Features of images: float32 (B, C, h, w) for each layer, on the images' device, without gradient.

        Args:
            images: uint8 (B, H, W, 3).
            extract: takes one image, uint8 (1, H, W, 3), and returns float (1, C, h, w) for each layer.

        Raises:
            ValueError: a feature is NaN, infinite or above 65504, which float16 cannot hold.
        """
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            # One image at a time: the last digits depend on the batch, and a resumed training has other batches.
            of_images = [self._of(image, extract) for image in images.split(1)]
            return [torch.cat(layers).to(images.device).float() for layers in zip(*of_images, strict=True)]

    def _of(self, image: Tensor, extract: Extract) -> list[Tensor]:
        if not self._reads:
            return _extracted(image, extract)
        # Processors round differently, so features from a GPU are not those from a CPU.
        name = hash_bytes(image.device.type, str(tuple(image.shape)), image.cpu().numpy().tobytes())
        path = self.folder / f"{name}.safetensors"
        features = _read(path)
        if features is None:
            features = _extracted(image, extract)
            self._write(path, features)
        return features

    def _write(self, path: Path, features: list[Tensor]) -> None:
        if not self._writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < RESERVE:
                raise OSError(f"less than {RESERVE / 2**30:.0f} GiB of the disk are free")
            tensor_file.write(path, {str(i): layer for i, layer in enumerate(features)})
        except OSError as error:
            self._writes = False
            log.warning(
                "features are kept no longer, so training is slower: %s; free some space or remove %s",
                error,
                self.folder.parent,
            )


def _extracted(image: Tensor, extract: Extract) -> list[Tensor]:
    """Features of one image, float16."""
    # Contiguous like tensors from a file, because convolutions round by the layout in memory.
    features = [layer.half().contiguous() for layer in extract(image)]
    if not all(layer.isfinite().all() for layer in features):
        raise ValueError("features: expected values from -65504 to 65504, the range of float16, got larger ones or NaN")
    return features


def _read(path: Path) -> list[Tensor] | None:
    """The features in a file, mapped into memory; None if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return [file.get_tensor(str(i)) for i in range(len(file.keys()))]
    except (OSError, SafetensorError):
        return None
