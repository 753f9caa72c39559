"""Names of files in the site. What they are made of comes from files of others, so only harmless characters stay."""

import re
from collections import Counter

_HARMFUL = re.compile(r"[^A-Za-z0-9_.+-]+")
_LONGEST = 60


def harmless(text: str) -> str:
    """A text as part of a file name: letters, digits and a few signs, not hidden, not too long, never empty."""
    return _HARMFUL.sub("_", text).lstrip(".-")[:_LONGEST] or "_"


class Names:
    """Harmless file names, all different, also where a file system ignores case."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def new(self, text: str) -> str:
        """A name that was not given before, like `text`."""
        name = harmless(text)
        self._times[name.lower()] += 1
        times = self._times[name.lower()]
        return name if times == 1 else self.new(f"{name}-{times}")
