"""How wide the terminal is."""

import os
import shutil
import sys


def width() -> int | None:
    """Return the columns of stdout: as $COLUMNS says, or its terminal; `None` for a file or a pipe."""
    if not os.environ.get("COLUMNS", "").isdecimal() and not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 20)
