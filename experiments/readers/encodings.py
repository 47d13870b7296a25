"""Decode a text in any encoding, as UTF-8: the one that is given, that of a byte order mark, or Windows-1252."""

import codecs
import re
from pathlib import Path

from experiments.readers.errors import InvalidFileError

_CONTROLS = bytes({*range(32), 127} - set(b"\t\r\n"))
_CONTROL = re.compile(b"[" + re.escape(_CONTROLS) + rb"]|\xc2[\x80-\x9f]")
"""Control characters except tabs and line ends: terminal escapes, and the zero bytes of UTF-16."""
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks: UTF-32 first, since its marks begin with those of UTF-16."""
_NO_TEXTS = {"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"}
"""Python's encodings that are not for text."""


def read_text(path: Path, content: bytes, encoding: str | None) -> tuple[bytes, list[str]]:
    """Return the content of a file as text in UTF-8 without a byte order mark, and notes on its encoding.

    Raises:
      InvalidFileError: if the encoding is unknown, or the file is not text in it.
    """
    data, notes = _utf_8(path, content, encoding)
    suspicious = b"\xc2" in data or len(data.translate(None, _CONTROLS)) < len(data)  # a search takes 20 times as long
    if suspicious and (control := _CONTROL.search(data)):
        where = f"{path} holds the control character {control[0].hex(' ')} in line {_line_at(data, control.start())}"
        raise InvalidFileError(f"{where}, so it is not text: save it as CSV in UTF-8")
    return data, notes


def _utf_8(path: Path, data: bytes, encoding: str | None) -> tuple[bytes, list[str]]:
    """Return the text in UTF-8 without a byte order mark, and notes on its encoding."""
    codec = encoding or next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    if codec in (None, "utf-8-sig"):
        data = data.removeprefix(codecs.BOM_UTF8)
        if (bad := _undecodable(data)) is None:
            return data, ["UTF-8"]
        codec = "windows-1252"
    try:
        if codecs.lookup(codec).name in _NO_TEXTS:
            raise LookupError
        text = data.decode(codec)
    except LookupError:
        raise InvalidFileError(f"{path}: --encoding must be a text encoding of Python, got {codec!r}") from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        at = _line_at(data, start) if codec.startswith("windows") else 1 + data[:start].count(b"\n")
        name = encoding or ("UTF-8" if codec == "windows-1252" else codec.upper())
        raise InvalidFileError(f"{path} is not {name} in line {at}: save it as CSV in UTF-8") from None
    text = text.removeprefix("\ufeff")
    if encoding or codec != "windows-1252":
        return text.encode("utf-8", "replace"), [codec.upper()]
    where = f"not UTF-8 in line {_line_at(data, bad)}, so read as Windows-1252: if letters are wrong, use --encoding"
    return text.encode(), [where]


def _undecodable(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _line_at(data: bytes, at: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:at])) + 1
