"""`python -m experiments`."""

import sys

from experiments.cli import main

if __name__ == "__main__":
    # A file's name need not be text in the terminal's encoding: it is shown by its bytes.
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
