"""Weights from a repository on the Hugging Face hub that holds what `fit` writes into the folder of a training.

Only these files are ever downloaded, so nothing is taken whose reading could run code.
"""

from pathlib import Path

from salbench.weights import WeightsProblem

WEIGHTS = "best.safetensors"
FILES = (WEIGHTS, "best.json", "README.md")


def from_hub(repository: str) -> Path:
    """Download the weights of a learned method into the hub's cache (~/.cache/huggingface, or $HF_HOME).

    Args:
        repository: OWNER/REPO, or OWNER/REPO@REVISION with a branch, tag or commit. By default the newest commit.

    Returns:
        The folder of the files, which a learned method takes as its weights. Its name is the commit.

    Raises:
        WeightsProblem: not such a name, no such repository or revision, no access or connection, or no weights in it.
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
    return folder
