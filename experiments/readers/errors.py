"""Errors and checks of all readers. Files are untrusted."""

import stat
from pathlib import Path

_LONGEST = 2000


class InvalidFileError(ValueError):
    """An invalid file; the message is one line that begins with its path.

    It may contain text of the file, so a long message is truncated, and characters that would break the line or control
    a terminal are escaped.
    """

    def __init__(self, message: str) -> None:
        text = message if len(message) <= _LONGEST else message[:_LONGEST] + "..."
        super().__init__(printable(text))


def printable(text: str) -> str:
    """Return the text as one line, with control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_file(path: Path, most_bytes: int) -> int:
    """Return the size of a plain file in bytes, without opening it: a pipe may block its reader, a device never ends.

    Raises:
      InvalidFileError: if it is not a plain file, or has more than `most_bytes`.
      OSError: if it does not exist.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidFileError(
            f"{path} must be a plain file, got a {'folder' if stat.S_ISDIR(status.st_mode) else 'device or pipe'}"
        )
    if status.st_size > most_bytes:
        raise InvalidFileError(
            f"{path} must have at most {most_bytes:,} bytes, got {status.st_size:,}: is it the right file?"
        )
    return status.st_size


def path_inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a run's folder, which is untrusted and must not refer to files outside of it.

    Raises:
      InvalidFileError: if the path is outside of the folder, by a link or a .. in the name.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidFileError(f"{path} must be inside its folder: a run must have no links out of it and no ..")
    return path
