"""Parse numbers in common notations: decimal commas, thousands marks, percent signs, currencies.

A single field may be ambiguous: 1,234 is 1.234 with a decimal comma and 1234 with a thousands comma. So a column is
read with one `Notation`, in which each of its fields is a number.
"""

import re
import unicodedata
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A number. Each digit matches in one way only, so that a long field that is not a number fails in one pass."""
MARKS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""The pairs of decimal and thousands mark, the most common first; a blank is any of Unicode's, and ' also ’."""
MOST_CHARACTERS = 400
"""The maximum length of a number that Python's float does not accept."""
_CURRENCY = "$€£¥₹₩₽¢"
_SHAPE = re.compile(
    rf"(?P<sign>[+-]?) ?(?P<prefix>[{_CURRENCY}]?) ?(?P<inner>[+-]?)"
    r"(?P<body>[.,]?\d[\d.,' ]*)(?P<exponent>[eE][+-]?\d+)?"
    rf" ?(?P<suffix>[%‰°{_CURRENCY}]|[A-Za-zµ°Ω][A-Za-z0-9/²³°]{{0,7}})?",
    re.ASCII,
)
_OTHER_CHARACTERS = {ord(dash): "-" for dash in "−–—‐‑‒﹣－"} | {ord(mark): "'" for mark in "’‘`"}
_OTHER_CHARACTERS |= {ord(blank): " " for blank in "\u00a0\u2007\u2009\u202f\t"} | {ord("％"): "%", ord("＋"): "+"}


class Notation(NamedTuple):
    """The notation of all numbers of a column.

    Attributes:
      decimal: the decimal mark, a point or a comma.
      thousands: the mark between groups of digits, or "".
      prefix, suffix: the currency or unit of all fields, or "".
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    def __str__(self) -> str:
        parts = ["decimal comma"] if self.decimal == "," else []
        if self.thousands:
            of_mark = {" ": "thousands blanks", ",": "thousands commas"}
            parts.append(of_mark.get(self.thousands, f"thousands mark {self.thousands}"))
        return ", ".join(parts + [f"in {unit}" for unit in (self.prefix, self.suffix) if unit])


PLAIN = Notation()
_ALL = {pair: Notation(*pair) for pair in MARKS}


def number(field: str, notation: Notation) -> float | None:
    """Return the value of the field in this notation, or None."""
    decimal, thousands, *unit = notation
    if not any(unit) and "." not in field.replace(decimal, ""):
        text = field.replace(decimal, ".")
        if NUMBER.fullmatch(text):
            return float(text)
    shape = _shape(field)
    if shape is None or [shape["prefix"], shape["suffix"] or ""] != unit or (shape["sign"] and shape["inner"]):
        return None
    whole, _, fraction = shape["body"].rstrip().partition(decimal)
    if thousands and thousands in whole and _groups(thousands).fullmatch(whole):
        whole = whole.replace(thousands, "")
    plain = f"{shape['sign']}{shape['inner']}{whole}.{fraction}{shape['exponent'] or ''}"
    return float(plain) if NUMBER.fullmatch(plain) else None


def exact(field: str) -> Decimal:
    """Return the exact value of a field that matches `NUMBER`: as floats, integers beyond 2^53 would coincide."""
    try:
        return Decimal(field)
    except InvalidOperation:  # an exponent beyond 10^18
        return Decimal(float(field))


def notations(fields: Collection[str], decimal: str | None = None, thousands: str | None = None) -> list[Notation]:
    """Return every notation in which all fields are numbers, the most common first.

    Args:
      fields: one or more fields.
      decimal: the decimal mark, if it is given.
      thousands: the thousands mark, if it is given.
    """
    marks = [
        (point, mark)
        for point, mark in MARKS
        if decimal in (None, point) and (thousands in (None, mark) or (mark == "" and thousands != point))
    ]
    plain = all(map(NUMBER.fullmatch, fields))
    pointed = [field for field in fields if "." in field] if plain else []
    if plain and not pointed:
        return [_ALL[pair] for pair in marks]
    if plain and (".", "") in marks and not all(map(_groups(".").fullmatch, pointed)):
        return [PLAIN]
    units = _units(fields)
    if len(units) != 1:
        return []
    used = "".join(dict.fromkeys("".join(map(_normalized, fields))))
    candidates = (Notation(*pair, *unit) for unit in units for pair in marks if pair[1] in used)
    return [each for each in candidates if all(number(field, each) is not None for field in fields)]


def agree(fields: Collection[str], candidates: Collection[Notation]) -> bool:
    """Return whether each field has the same value in all these notations."""
    return len(candidates) <= 1 or all(len({number(field, each) for each in candidates}) == 1 for field in fields)


def looks_like_number(field: str) -> bool:
    """Return whether the field is a number in some notation; a number followed by letters, such as a code, is not."""
    if NUMBER.fullmatch(field):
        return True
    units = _units([field])
    return any(
        number(field, Notation(*pair, *unit)) is not None
        for unit in units
        if not unit[1][:1].isalpha()
        for pair in MARKS
    )


def _units(fields: Collection[str]) -> set[tuple[str, str]]:
    """Return the pairs of prefix and suffix; no pair if a field does not have the form of a number."""
    units = set()
    for field in fields:
        shape = _shape(field)
        if shape is None:
            return set()
        units.add((shape["prefix"], shape["suffix"] or ""))
    return units


def _shape(field: str) -> re.Match | None:
    return _SHAPE.fullmatch(_normalized(field)) if len(field) <= MOST_CHARACTERS else None


def _normalized(field: str) -> str:
    """Return the field with ASCII digits, minus signs and blanks."""
    if field.isascii():
        return field
    text = field.translate(_OTHER_CHARACTERS)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


@cache
def _groups(mark: str) -> re.Pattern:
    """Return the pattern of integers in groups: 1,234,567, or 12,34,567 as in India."""
    mark = re.escape(mark)
    return re.compile(rf"[1-9]\d{{0,2}}({mark}\d{{3}})+|[1-9]\d?({mark}\d{{2}})+{mark}\d{{3}}", re.ASCII)
