"""Write files outside of runs atomically, and never over an existing file."""

import os
import tempfile
from pathlib import Path

from experiments.runs.interrupts import delay_signals


def write_new(path: Path, data: bytes, option: str = "--out") -> None:
    """Write a new file atomically; never replace an existing one.

    Raises:
      ValueError: if the path exists, or its folder does not.
      OSError: if it cannot be written.
    """
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} of {path.name} must exist: create it first")
    with delay_signals(), tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        whole = Path(folder) / "whole"
        whole.write_bytes(data)
        try:
            path.open("xb").close()  # reserves the name, also against other processes
        except FileExistsError:
            raise ValueError(f"{path} exists already, and is not replaced: choose another file with {option}") from None
        os.replace(whole, path)
