"""The command line of salbench in a clone that is not installed: python benchmark.py VERB ..."""

import sys

from salbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
