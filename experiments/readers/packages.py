"""How to install packages that are needed for some files and options alone."""

import shlex
import sys


def install_command(*packages: str) -> str:
    """Return the command that installs packages for the Python that runs, whichever `pip` a shell finds.

    Example:
      >>> install_command("pandas", "pyarrow").endswith(" -m pip install pandas pyarrow")
      True
    """
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])
