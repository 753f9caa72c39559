"""Where a result comes from: the command that makes it again."""

import re
import shlex

from salbench.results import Result

_FIRST = re.compile(r"(?P<name>.+)_first(?P<n>\d+)$")  # a data set reduced by --limit; see `Dataset.first`


def command(result: Result) -> str:
    """The command that scores a method again. Folders that results do not know are written in capitals."""
    name, limit = without_limit(result.dataset)
    words = ["salbench", "run", "--methods", _spec(result.method), "--dataset", _typed(name)]
    words += ["--protocol", result.identity["protocol"]] if result.identity["protocol"] != "tuebingen" else []
    words += ["--limit", str(limit)] if limit else []
    words += ["--seed", str(result.identity["seed"])] if result.identity["seed"] else []
    return shlex.join([*words, "--data-root", "DIR"])


def save_maps(result: Result) -> str:
    """The command that saves the maps of methods on the data set of a result."""
    name, limit = without_limit(result.dataset)
    words = ["salbench", "run", "--methods", "NAMES", "--dataset", _typed(name), "--save-maps", "MAPS"]
    return shlex.join([*words, *(["--limit", str(limit)] if limit else [])])


def without_limit(dataset: str) -> tuple[str, int | None]:
    """The name of a data set and the number of its first images, if it was reduced to them: ("osie_test", 5)."""
    match = _FIRST.match(dataset)
    return (match["name"], int(match["n"])) if match else (dataset, None)


def _spec(label: str) -> str:
    name, plus, variant = label.partition("+")
    return f"{name}:{variant}=PATH" if plus else name


def _typed(dataset: str) -> str:
    name, plus, label = dataset.partition("+")
    return f"{name}:{label}=FOLDER" if plus else name
