"""`python -m morphloop`: the one command."""

import sys

from morphloop.cli import main

if __name__ == "__main__":
    sys.exit(main())
