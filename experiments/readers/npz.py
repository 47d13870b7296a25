"""Read arrays from untrusted npz files, zip archives with one .npy file per array, without pickle.

Source: NumPy, "numpy.lib.format", version 1.0 of the format; PKWARE, "APPNOTE.TXT", of zip.
"""

import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from experiments.readers.errors import InvalidFileError, check_file

MOST_BYTES = 3 * 2**27
"""The maximum size of all arrays together: 50 million float64 numbers, MNIST's 60 000 images of 784."""
_MOST_DIRECTORY = 2**16
"""The maximum size of the archive's directory, which has about a hundred bytes per array."""
_PIECE = 2**20
_LONGEST_HEADER = 10_000
# The form that NumPy writes; objects, which are pickles, and records have another form.
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|=](?:b1|[iu][1248]|f[248]|[US][1-9]\d{0,4}))', "
    r"'fortran_order': (?P<fortran>True|False), 'shape': \((?P<shape>(?:\d{1,18}, ?){0,7}(?:\d{1,18})?)\), ?\} *\n?"
)
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)
_FIX = "write it with numpy.savez"


def read_npz(path: Path, names: Sequence[str] | None = None, *, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the arrays with these names, or all: numbers, booleans or words (dtype kinds b, i, u, f, U and S).

    Optional ones may be absent. Of each, at most a megabyte more than its header declares is unpacked.

    Raises:
      InvalidFileError: if it is not an npz file, is damaged, lacks an array, or holds objects or more bytes.
      OSError: if the file cannot be opened.
    """
    check_file(path, 2 * MOST_BYTES)
    with path.open("rb") as file:
        try:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                arrays: dict[str, np.ndarray] = {}
                present = [name for name in optional if f"{name}.npy" in archive.namelist()]
                for name in _all_names(archive) if names is None else [*names, *present]:
                    arrays[name] = _array(archive, name, MOST_BYTES - sum(array.nbytes for array in arrays.values()))
                return arrays
        except _DAMAGE as error:
            raise InvalidFileError(f"{path} is not a valid npz file: {error}") from None


def _check_directory(file: BinaryIO) -> None:
    """Check the size of the directory, which the file's last 22 bytes hold, before zipfile reads all of it."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - 42))
    end = file.read()
    if len(end) < 42 or end[20:24] != b"PK\5\6" or end[:4] == b"PK\6\7":
        raise ValueError(f"it does not end as a small zip archive does: {_FIX}")
    (size,) = struct.unpack("<I", end[32:36])
    if size > _MOST_DIRECTORY:
        raise ValueError(f"its directory has {size:,} bytes, expected at most {_MOST_DIRECTORY:,}")
    file.seek(0)


def _all_names(archive: zipfile.ZipFile) -> list[str]:
    members = archive.namelist()
    others = [member for member in members if not member.endswith(".npy")]
    if others:
        raise ValueError(f"it holds {others[0]}, expected only arrays")
    return [member.removesuffix(".npy") for member in members]


def _array(archive: zipfile.ZipFile, name: str, most_bytes: int) -> np.ndarray:
    if f"{name}.npy" not in archive.namelist():
        names = ", ".join(member.removesuffix(".npy") for member in archive.namelist()) or "nothing"
        raise ValueError(f"it has no array {name}, only {names}: {_FIX}")
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by method {member.compress_type}, expected deflate or none")
    with archive.open(member) as file:
        shape, fortran, dtype = _header(name, file)
        size = math.prod(shape) * dtype.itemsize
        if size > most_bytes:
            fix = ": as float32 it has half as many" if dtype.itemsize == 8 and size <= 2 * most_bytes else ""
            raise ValueError(f"{name} declares {dtype} {shape}, more than the remaining {most_bytes:,} bytes{fix}")
        data = bytearray()
        while len(data) <= size and (piece := file.read(_PIECE)):
            data += piece
    if len(data) != size:
        have = "more" if len(data) > size else f"{len(data):,}"
        raise ValueError(f"{name} declares {dtype} {shape}, {size:,} bytes, but has {have}")
    if dtype.kind == "U" and size and np.frombuffer(data, f"{dtype.byteorder}u4").max() > sys.maxunicode:
        raise ValueError(f"{name} holds invalid characters")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(name: str, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    length = {(1, 0): "<H", (2, 0): "<I"}.get(version)
    if length is None:
        raise ValueError(f"{name} is of version {version} of the npy format, expected 1.0 or 2.0")
    (n,) = struct.unpack(length, file.read(struct.calcsize(length)))
    text = file.read(min(n, _LONGEST_HEADER)).decode("latin-1")
    match = _HEADER.fullmatch(text)
    if not match:
        fix = "; of objects, write it as .astype(str) or .astype(float)" if "'|O'" in text else ""
        raise ValueError(f"{name} is described as {text.strip()[:100]}, expected an array of numbers or words{fix}")
    return tuple(map(int, re.findall(r"\d+", match["shape"]))), match["fortran"] == "True", np.dtype(match["dtype"])
