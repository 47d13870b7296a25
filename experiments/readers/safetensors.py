"""Read untrusted safetensors files: a table of contents and raw numbers, whose sizes are checked before reading."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from experiments.readers.errors import InvalidFileError, check_file

MOST_BYTES = 2**28
"""64 million params, five times as many as the largest network of the experiments has."""
_MOST_CONTENTS = 2**20
"""The maximum size of the table of contents, which is JSON."""
_DTYPES = {"BF16", "BOOL", *(f"{kind}{bits}" for kind in "FIU" for bits in (8, 16, 32, 64))}
"""The dtypes of safetensors that can be read. There are others, such as F8_E4M3."""


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of any safetensors file.

    Raises:
      InvalidFileError: if the file is damaged, or of another kind.
      OSError: if it cannot be opened.
    """
    read_metadata(path)
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                dtype = file.get_slice(name).get_dtype()
                if dtype not in _DTYPES:
                    raise InvalidFileError(f"{path}: {name} is {dtype}, expected F64, F32, F16 or BF16")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except InvalidFileError:
        raise
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFileError(f"{path} is damaged, or not a safetensors file: {error}") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts beside the arrays, by name.

    Raises:
      InvalidFileError: if the file is damaged, too large, or of another kind.
      OSError: if it cannot be opened.
    """
    check_file(path, MOST_BYTES)
    with path.open("rb") as file:  # raises a clear error for an unreadable file
        contents = int.from_bytes(file.read(8), "little")
    if contents > _MOST_CONTENTS:
        raise InvalidFileError(
            f"{path} is damaged, or not a safetensors file: its table of contents would have {contents:,} bytes"
        )
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, TypeError, ValueError, AttributeError) as error:
        raise InvalidFileError(f"{path} is damaged, or not a safetensors file: {error}") from None
