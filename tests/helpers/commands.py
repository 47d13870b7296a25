"""Commands in processes of their session, as a user starts them."""

import os
import subprocess
from pathlib import Path

from tests.helpers.sources import ROOT


def start(command: list[str], folder: Path, stdout: int = subprocess.PIPE) -> subprocess.Popen:
    """Start a command in a folder, with the checkout on Python's path, and stderr to be read."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
