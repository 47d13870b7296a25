"""Read a file that may be compressed by gzip."""

import gzip
import zlib
from pathlib import Path

from experiments.readers.errors import InvalidFileError

_MAGIC = b"\x1f\x8b"


def unpacked(path: Path, most_bytes: int) -> bytes:
    """Return the content of a file, decompressed if it starts as a gzip file does.

    Raises:
      InvalidFileError: if it is damaged, or decompresses to more than `most_bytes`.
      OSError: if the file cannot be opened.
    """
    with path.open("rb") as file:
        if file.read(2) != _MAGIC:
            file.seek(0)
            return file.read()
        file.seek(0)
        try:
            data = gzip.GzipFile(fileobj=file).read(most_bytes + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidFileError(f"{path} is damaged: {error}: was it copied whole?") from None
    if len(data) > most_bytes:
        raise InvalidFileError(f"{path} must have at most {most_bytes:,} bytes decompressed: train on a part of it")
    return data
