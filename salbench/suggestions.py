"""What to say about a name that nothing has. Imports nothing heavy: the command line's help uses it too."""

import difflib
from collections.abc import Iterable


def suggestion(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a message about an unknown name, with the closest known name, if one is close, and all known names.

    Args:
        kind: what is named, such as "verb".
        name: the unknown name.
        known: the known names, in the order in which to list them.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {name!r}. {hint}Known: {', '.join(known) or 'none'}"
