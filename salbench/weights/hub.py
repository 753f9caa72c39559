"""Weights from a repository on the Hugging Face hub that holds what `fit` writes into the folder of a training.

Only these files are ever downloaded, so nothing is taken whose reading could run code. Each is compared with the hash
that the hub gives for it.
"""

import hashlib
import re
from pathlib import Path

from salbench.checksums import sha256
from salbench.weights import WeightsProblem

WEIGHTS = "best.safetensors"
FILES = (WEIGHTS, "best.json", "README.md")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # of git for small files, SHA-256 for large ones


def from_hub(repository: str) -> Path:
    """Download the weights of a learned method into the hub's cache (~/.cache/huggingface, or $HF_HOME).

    Args:
        repository: OWNER/REPO, or OWNER/REPO@REVISION with a branch, tag or commit. By default the newest commit.

    Returns:
        The folder of the files, which a learned method takes as its weights. Its name is the commit.

    Raises:
        WeightsProblem: not such a name, no such repository or revision, no access or connection, no weights in it, or
            a file that differs from the hub's.
        ModuleNotFoundError: the package huggingface_hub is not installed.
    """
    from huggingface_hub import snapshot_download

    name, _, revision = repository.partition("@")
    if len(list(filter(None, name.split("/")))) != 2:
        raise WeightsProblem(f"expected OWNER/REPO or OWNER/REPO@REVISION on the Hugging Face hub, got {repository!r}")
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=list(FILES)))
    except Exception as error:  # of the hub, of the connection, or of the package that talks to it
        reason = " ".join(str(error).split())
        raise WeightsProblem(f"{repository}: cannot be downloaded from the Hugging Face hub: {reason}") from error
    if not (folder / WEIGHTS).is_file():
        raise WeightsProblem(f"{repository}: expected {', '.join(FILES)}, as fit writes them, found no {WEIGHTS}")
    for path in sorted(folder.iterdir()):
        _check_hash(path)
    return folder


def _check_hash(path: Path) -> None:
    """Refuse a downloaded file that is not the one on the hub.

    The hub's cache links a file's name to its content, and the content is stored under the hash that the hub gave. A
    system without links stores it under its name, and nothing is compared.
    """
    content = path.resolve()
    if not _HASH.fullmatch(content.name):
        return
    found = sha256(content) if len(content.name) == 64 else _git_hash(content.read_bytes())
    if found != content.name:
        raise WeightsProblem(
            f"{content}: expected the file {path.name} with the hash {content.name[:12]}..., got {found[:12]}...; "
            "remove it and download again"
        )


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
