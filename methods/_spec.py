"""What the argument of a method begins with: NAME= labels its row, OUTPUT: declares what its maps are."""

from pathlib import Path

from salbench.files import FileProblem
from salbench.registry import OUTPUTS
from salbench.suggestions import suggestion


def label_of(argument: str) -> tuple[str, str]:
    """(NAME or "", rest) of NAME=REST. There is no name if the whole argument is a path that exists."""
    return _prefix(argument, "=")


def output_of(argument: str) -> tuple[str, str]:
    """(OUTPUT or "map", rest) of OUTPUT:REST. There is no output if the whole argument is a path that exists.

    Raises:
        FileProblem: an unknown output.
    """
    output, rest = _prefix(argument, ":")
    if output and output not in OUTPUTS:
        raise FileProblem(f"{argument}: {suggestion('output', output, OUTPUTS)}")
    return output or "map", rest


def _prefix(text: str, separator: str) -> tuple[str, str]:
    prefix, given, rest = text.partition(separator)
    return (prefix, rest) if given and not Path(text).expanduser().exists() else ("", text)
