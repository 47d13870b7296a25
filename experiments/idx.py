"""Reads idx files, the format of MNIST: a magic number, sizes, and the numbers themselves, often compressed by gzip.

The first two bytes are 0, the third says the type (8: unsigned bytes, the only one read here), the fourth how many axes
there are; then the axes' sizes, 4 bytes each, the highest first, and a byte per number.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from experiments.refusal import Refused, check_file

_UNSIGNED_BYTES = 8
MOST_BYTES = 2**27
"""Larger arrays are refused, those of more than 170 000 images of 28 x 28: a header may say anything."""
MOST_UNPACKED = 1032
"""Bytes that one byte of deflate can become, at the most (RFC 1951: 258 for two bits)."""


def read_idx(path: Path, axes: int) -> np.ndarray:
    """The array of a file, uint8, with so many axes; compressed where the name ends in .gz.

    No more is read than the header announces, and one byte.

    Raises:
      Refused: gzip damage, a wrong magic number, other axes, or more or fewer numbers than the header announces.
      OSError: the file cannot be opened.
    """
    stored = check_file(path, 2 * MOST_BYTES)
    compressed = path.suffix == ".gz"
    with path.open("rb") as raw, gzip.open(raw) if compressed else raw as file:
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
            if size > MOST_BYTES:
                raise Refused(f"{path} announces {' x '.join(map(str, shape))} numbers, more than {MOST_BYTES:,}")
            if size > stored * (MOST_UNPACKED if compressed else 1):
                raise Refused(f"{path} announces {size:,} numbers in {stored:,} bytes: it is cut off, or no idx file")
            data = file.read(size + 1)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise Refused(f"{path} is no gzip file, or a damaged one ({error}): get it again") from None
    if len(data) != size:
        have = "more" if len(data) > size else f"{len(data):,}"
        raise Refused(f"{path} announces {size:,} numbers and has {have}: it is cut off or not what it says")
    return np.frombuffer(data, np.uint8).reshape(shape)
