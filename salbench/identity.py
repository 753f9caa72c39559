"""What two pieces of work must share before salbench treats them as parts of one whole.

Results, journals, checkpoints, edit sets, ablations and studies each record an `Identity`. Work that was started under
another identity is never continued or mixed in; the error says which facts differ.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A hash tells a reader nothing, so a difference in one of these facts is described in words.
_HASHED = {
    "code": "the code has changed",
    "scoring": "the metrics or protocols have changed",
    "weights": "the weights or maps differ, or the output that maps are declared to be",
    "fingerprint": "the content of the data set differs",
    "choices": "the choices of the protocol differ",
    "images": "the images or their ground truth differ",
    "edits": "the edits differ",
    "inputs": "the inputs differ",
}
_ABSENT = object()


@dataclass(frozen=True)
class Identity:
    """Named facts about how something was made.

    Attributes:
        facts: any values that JSON can hold. Tuples become lists, so an identity read from a file equals the one
            that was written to it.
    """

    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", json.loads(json.dumps(dict(self.facts))))

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def differences(self, other: "Identity") -> list[str]:
        """Each fact that differs, in words, such as "protocol mit instead of lsun17" (this one's value first)."""
        return list(_differences(self.facts, other.facts))

    def require_same(self, found: "Identity", place: Path | str, remedy: str, problem: type[ValueError]) -> None:
        """Raise `problem` unless `found`, the identity recorded at `place`, equals this one.

        Args:
            found: the recorded identity.
            place: file or folder that holds it.
            remedy: what the user can do, as a sentence.
            problem: type of the error.
        """
        if found != self:
            raise problem(f"{place}: made with other settings ({'; '.join(self.differences(found))}). {remedy}")


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name in {**mine, **theirs}:
        a, b = mine.get(name, _ABSENT), theirs.get(name, _ABSENT)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{name}.")
        else:
            yield _HASHED.get(name) or f"{prefix}{name} {_said(a)} instead of {_said(b)}"


def _said(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value)
