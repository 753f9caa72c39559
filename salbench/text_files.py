"""JSON and TOML that anybody may have written: whatever is wrong with it raises `ValueError`."""

import json
import tomllib
from typing import Any

_NESTED = "values are nested too deeply"


def parse_json(content: bytes, **hooks: Any) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark; `hooks` are those of `json.loads`.

    Raises:
        ValueError: anything else. The message does not name the file.
    """
    try:
        return json.loads(content.decode("utf-8-sig"), **hooks)
    except RecursionError as error:
        raise ValueError(f"expected JSON: {_NESTED}") from error
    except ValueError as error:
        raise ValueError(f"expected JSON in UTF-8: {error}") from error


def parse_toml(content: bytes) -> dict[str, Any]:
    """Parse TOML in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: anything else. The message does not name the file.
    """
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError(f"expected TOML: {_NESTED}") from error
    except ValueError as error:
        raise ValueError(f"expected TOML in UTF-8, with text in double quotes: {error}") from error
