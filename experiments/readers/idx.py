"""Reads idx files, the format of MNIST: a magic number, sizes, and the numbers themselves, often compressed by gzip.

The first two bytes are 0, the third says the type (8: unsigned bytes, the only one read here), the fourth how many axes
there are; then the axes' sizes, 4 bytes each, the highest first, and a byte per number.

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

from experiments.readers.errors import Refused, check_file

_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"
_PIECE = 2**20
MOST_BYTES = 2**27
"""What a small file may announce, since its header may say anything: 170 000 images of 28 x 28."""
_UNPACKED_MORE = 20
"""What a larger one may announce beside that, by byte of the file: images of digits unpack to five times their size."""
_MOST_STORED = 2**30
MOST_UNPACKED = 1032
"""Bytes that one byte of deflate can become, at the most (RFC 1951: 258 for two bits)."""


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The array of a file, uint8, with so many axes; compressed or not by its first bytes, since names lie.

    No more is read than the header announces, and one byte.

    Raises:
      Refused: gzip damage, a wrong magic number, other axes, or more or fewer numbers than the header announces.
      OSError: the file cannot be opened.
    """
    stored = check_file(path, _MOST_STORED)
    with path.open("rb") as raw, contextlib.ExitStack() as stack:
        compressed = raw.read(2) == _GZIP
        raw.seek(0)
        file = stack.enter_context(gzip.open(raw)) if compressed else raw
        try:
            header = file.read(4 + 4 * axes)
            if len(header) < 4 or header[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
                raise Refused(
                    f"{path} starts with {header[:4].hex(' ') or 'nothing'}, expected 00 00 08 {axes:02x}, the magic "
                    f"number of an idx file of bytes with {axes} axes"
                )
            if header[3] != axes or len(header) < 4 + 4 * axes:
                raise Refused(f"{path} is an idx file with {header[3]} axes, or cut off; expected {axes} axes")
            shape = struct.unpack(f">{axes}I", header[4:])
            size = math.prod(shape)
            if size > (most := MOST_BYTES + _UNPACKED_MORE * stored):
                raise Refused(f"{path} announces {' x '.join(map(str, shape))} numbers, more than {most:,}")
            if size > stored * (MOST_UNPACKED if compressed else 1):
                raise Refused(f"{path} announces {size:,} numbers in {stored:,} bytes: it is cut off, or no idx file")
            data = np.empty(size, np.uint8)
            have = _fill(data, file)
            more = bool(file.read(1))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Refused(f"{path} is no gzip file, or a damaged one ({error}): get it again") from None
    if have < size or more:
        told = "more" if more else f"{have:,}"
        raise Refused(f"{path} announces {size:,} numbers and has {told}: it is cut off or not what it says")
    return data.reshape(shape)


def _fill(data: np.ndarray, file: BinaryIO) -> int:
    """Read bytes into the array until it is full or the file at its end; how many there were."""
    view, at = memoryview(data), 0
    while at < len(data) and (n := file.readinto(view[at : at + _PIECE])):
        at += n
    return at
