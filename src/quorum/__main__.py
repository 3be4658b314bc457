"""`python -m quorum`."""

import sys

from quorum.cli import main

if __name__ == "__main__":
    sys.exit(main())
