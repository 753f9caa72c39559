"""Run several parts of the campaign in one process, which imports once what they need.

    python tests/campaign/parts.py '{"kills": ["--kills", "8"], "together": ["--pairs", "1"]}'

The exit status is 1 if one of them finds a fault. With `writes`, the others run with its library loaded too, which does
nothing there.
"""

import importlib
import json
import sys

import writes


def main() -> int:
    """Run the parts, each with its options."""
    parts = json.loads(sys.argv[1])
    if "writes" in parts:
        writes.load_library()
    failed = 0
    for name, options in parts.items():
        sys.argv[1:] = options
        failed |= importlib.import_module(name).main()
    return failed


if __name__ == "__main__":
    sys.exit(main())
