"""Writes the files that a user asks for beside runs: whole or not at all, and never in the place of another."""

import os
import tempfile
from pathlib import Path

from experiments.runs.interrupts import held


def write_new(path: Path, data: bytes, option: str = "--out") -> None:
    """Write a file that nobody ever sees half of, and never in the place of another.

    Raises:
      ValueError: something of that name is there, or no folder for it.
      OSError: it cannot be written.
    """
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} for {path.name}: make it first")
    with held(), tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        whole = Path(folder) / "whole"
        whole.write_bytes(data)
        try:
            path.open("xb").close()  # claims the name, also from others who claim it now
        except FileExistsError:
            raise ValueError(f"{path} is there already, and is not replaced: name another file by {option}") from None
        os.replace(whole, path)
