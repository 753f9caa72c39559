"""Hashes of the files that ship with methods: a file that has changed is refused before it can change a score.

`SHA256SUMS` in a folder of methods lists them as the program `sha256sum` does. After new weights were trained:

    cd methods && git ls-files "*.npz" "*.safetensors" | xargs sha256sum > SHA256SUMS
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

SUMS = "SHA256SUMS"


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits; the file is read in chunks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(folder: Path) -> dict[str, str]:
    """Return {path in `folder`: SHA-256} of what its SHA256SUMS lists; empty if there is no such file."""
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def changed(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Return the names of files that are missing or have another hash.

    Args:
        folder: where the files are.
        sums: {path in `folder`: SHA-256}.
    """
    return [name for name, digest in sums.items() if not _is_file(folder / name, digest)]


def _is_file(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest
