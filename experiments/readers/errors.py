"""What every reader of files says of one that it does not take. Files may come from strangers."""

import stat
from pathlib import Path

_LONGEST = 2000


class Refused(ValueError):  # noqa: N818 (it reads as it is raised)
    """A file that is not as it should be: one line that begins with its path.

    Words of the file may be in it. So it is cut where it is long, and characters that would break the line, or steer
    a terminal, are shown as escapes.
    """

    def __init__(self, message: str) -> None:
        text = message if len(message) <= _LONGEST else message[:_LONGEST] + "..."
        super().__init__(printable(text))


def printable(text: str) -> str:
    """The text as one line that steers no terminal: other characters become escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_file(path: Path, most_bytes: int) -> int:
    """The size of a file in bytes, before it is opened: a pipe would keep its reader waiting, a device never end.

    Raises:
      Refused: no plain file, or one of more than `most_bytes`.
      OSError: there is no such file.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{path} is no plain file but a {'folder' if stat.S_ISDIR(status.st_mode) else 'device or pipe'}")
    if status.st_size > most_bytes:
        raise Refused(f"{path} has {status.st_size:,} bytes, expected at most {most_bytes:,}: is it the right file?")
    return status.st_size


def inside(folder: Path, name: str) -> Path:
    """The path of a run's file. A run may come from elsewhere, and nothing in it leads to files outside.

    Raises:
      Refused: the name leads out of the folder, as ../ or a link would.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"{path} leads out of its folder: a run's files are its own, expected no link and no ..")
    return path
