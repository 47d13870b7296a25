"""The sections of a report, on a screen: lines that fit, and how many are left out."""

import textwrap
from typing import NamedTuple


def in_one_line(text: str) -> str:
    """Return a text with all of its lines as one."""
    return " ".join(text.split())


def brief(text: str) -> str:
    """Return the first line of a text; of one that is long, words in the middle are left out."""
    line = text.partition("\n")[0]
    if len(line) <= _HEAD_WIDTH + _TAIL_WIDTH:
        return line
    return f"{_up_to_a_word(line, _HEAD_WIDTH)} ... {line[-_TAIL_WIDTH:].partition(' ')[2]}".rstrip()


def _up_to_a_word(line: str, width: int) -> str:
    """Return the words of a line that fit."""
    return line if len(line) <= width else line[: width + 1].rpartition(" ")[0].rstrip() or line[:width]


WIDTH, HEIGHT = 120, 24
_HEAD_WIDTH, _TAIL_WIDTH = 180, 60
"""Of a text with a quoted line in it: that line fits if it is as wide as the screen, and so do the words after it."""


class Section(NamedTuple):
    """A part of the report: texts with a label, and the number of lines that it gets at least, if it needs them."""

    label: str
    items: list[str]
    least: int

    def lines(self, most: int | None = None) -> list[str]:
        """Return the lines, at most that many: whole items where they fit, and how many are left out."""
        wrapped = [self._wrapped(item) for item in self.items]
        if most is None or sum(map(len, wrapped)) <= most:
            return [line for lines in wrapped for line in lines]
        taken: list[str] = []
        left = len(wrapped)
        while len(taken) + len(wrapped[-left]) < most:
            taken += wrapped[-left]
            left -= 1
        if taken:
            return [*taken, f"  ... and {left} more: print(report.table()) shows all"]
        more = f" ... and {left - 1} more" if left > 1 else " ..."
        cut = wrapped[0][:most]
        return [*cut[:-1], _up_to_a_word(cut[-1], WIDTH - len(more)) + more]

    def _wrapped(self, item: str) -> list[str]:
        label = f"{self.label}: " if self.label else ""
        return textwrap.wrap(label + item, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def fitted(sections: list[Section], height: int) -> list[str]:
    """Return the lines of the sections, at most `height`; each has its least number, and the first ones the rest."""
    wanted = [len(section.lines()) for section in sections]
    granted = [min(n, section.least) for n, section in zip(wanted, sections, strict=True)]
    for i, n in enumerate(wanted):
        granted[i] += min(n - granted[i], max(height - sum(granted), 0))
    return [line for section, n in zip(sections, granted, strict=True) for line in section.lines(n)]
