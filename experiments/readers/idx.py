"""Read idx files, the format of MNIST: a magic number, sizes, and the numbers themselves, often compressed by gzip.

The first two bytes are 0, the third is the type (8: unsigned bytes, the only one read here), the fourth the number of
axes; then follow the sizes of the axes, 4 bytes each in big-endian order, and a byte per number.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

import contextlib
import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from experiments.readers.errors import InvalidFileError, check_file

_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
_PIECE = 2**20
MOST_BYTES = 2**27
"""The maximum number of values that a small file may declare: 170 000 images of 28 x 28."""
_UNPACKED_MORE = 20
"""The maximum number of further values per byte of the file: images of digits unpack to five times their size."""
_MOST_STORED = 2**30
MOST_UNPACKED = 1032
"""The maximum number of bytes that one byte of deflate can unpack to (RFC 1951: 258 for two bits)."""


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Read a file, compressed or not by its first bytes, as a uint8 array with `axes` axes.

    At most one byte more than the header declares is read.

    Raises:
      InvalidFileError: if the gzip data are damaged, the magic number or the axes are wrong, or there are more or fewer
        numbers than the header declares.
      OSError: if the file cannot be opened.
    """
    stored = check_file(path, _MOST_STORED)
    with path.open("rb") as raw, contextlib.ExitStack() as stack:
        compressed = raw.read(2) == _GZIP
        raw.seek(0)
        file = stack.enter_context(gzip.open(raw)) if compressed else raw
        try:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 or header[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
                raise InvalidFileError(
                    f"{path} starts with {header[:4].hex(' ') or 'nothing'}, expected 00 00 08 {axes:02x}, the magic "
                    f"number of an idx file of bytes with {axes} axes"
                )
            if header[3] != axes or len(header) < 4 + 4 * axes:
                raise InvalidFileError(f"{path} has {header[3]} axes, or is truncated: expected {axes} axes")
            shape = struct.unpack(f">{axes}I", header[4:])
            size = math.prod(shape)
            if size > (most := MOST_BYTES + _UNPACKED_MORE * stored):
                raise InvalidFileError(f"{path} declares {' x '.join(map(str, shape))} numbers, more than {most:,}")
            if size > stored * (MOST_UNPACKED if compressed else 1):
                raise InvalidFileError(
                    f"{path} declares {size:,} numbers in {stored:,} bytes: it is truncated, or not an idx file"
                )
            data = np.empty(size, np.uint8)
            have = _fill(data, file)
            more = bool(file.read(1))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidFileError(f"{path} is not a gzip file, or damaged ({error}): download it again") from None
    if have < size or more:
        count = "more" if more else f"{have:,}"
        raise InvalidFileError(f"{path} declares {size:,} numbers, but has {count}: it is truncated or damaged")
    return data.reshape(shape)


def _fill(data: np.ndarray, file: BinaryIO) -> int:
    """Read bytes into the array until it is full or the file ends; return their number."""
    view, at = memoryview(data), 0
    while at < len(data) and (n := file.readinto(view[at : at + _PIECE])):
        at += n
    return at
