"""python -m salbench VERB ..."""

import sys

from salbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
