"""Make self-contained HTML pages, without network access, in light or dark mode, for desktop and phone."""

import base64
import hashlib
import struct
from collections.abc import Collection, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template

from experiments.reports.plain_tables import Column, find_rule, paragraphs, read_columns

FILES = files("experiments.reports")
"""The folder of the style sheets and scripts of the pages."""

_LONG = 32
"""A cell of a table with more characters has several lines."""
_MOST_TITLE_LINES = 3
"""Rich breaks the title of a table at the table's width."""
_DOCUMENT = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<h1>$title</h1>
$body
$scripts</body>
</html>
""")


def document(title: str, *parts: str, style: str = "", scripts: Sequence[str] = ()) -> str:
    """Return a page with the given parts, the results of the functions below.

    Args:
      title: its heading.
      parts: what follows it.
      style: a style sheet after the pages' own.
      scripts: JavaScript that runs at the end of the page; no other script of the page can run.
    """
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = "".join(f" 'sha256-{digest}'" for digest in digests)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return _DOCUMENT.substitute(
        title=escape(title),
        policy=f"{policy}; script-src{allowed}" if scripts else policy,
        style=read_file("page.css") + style,
        body="\n".join(parts),
        scripts="".join(f"<script>{script}</script>\n" for script in scripts),
    )


def read_file(name: str) -> str:
    """Return the text of a file of `FILES`."""
    return FILES.joinpath(name).read_text(encoding="utf-8")


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def failure(text: str) -> str:
    """Return the message of a failure, highlighted."""
    return f'<p class="failure">{escape(text)}</p>'


def running(state: str, written: datetime, resume: str) -> str:
    """Return the state of a run in progress, for a page with the script live.js, which loads it again and again.

    If there is no news for minutes, the page shows `resume`, the command for a run that was stopped without a message.
    """
    lost = "If the run was stopped, it is unfinished." + (" To continue it:" if resume else "")
    parts = [f"<p>{lost}</p>", *([command(resume)] if resume else [])]
    return (
        f'<div class="state" id="running" data-written="{escape(written.isoformat(timespec="seconds"))}">'
        f"<p><b>This run is in progress.</b> {escape(state)} Written at {written:%H:%M:%S}, and loaded again "
        f'every few seconds. <span id="age"></span></p><div id="lost" hidden>{"".join(parts)}</div></div>'
    )


def preformatted(text: str) -> str:
    """Return preformatted text; if it is wide it scrolls horizontally, also with the keyboard."""
    return f'<pre tabindex="0">\n{escape(text)}</pre>'


def command(text: str) -> str:
    """Return a command line, wrapped if it is long."""
    return f'<pre class="lines">\n{escape(text)}</pre>'


def results(text: str) -> str:
    """Return a text with tables, as report.txt has it: its tables as HTML, each with its title, and the notes."""
    parts, title = [], ""
    for block in paragraphs(text.strip("\n")):
        lines = block.split("\n")
        rule = find_rule(lines)
        if rule is not None:
            caption = " ".join(line.strip() for line in title.split("\n"))
            parts.append(_results_table(read_columns(lines[:rule], lines[rule + 1 :]), caption))
            title = ""
            continue
        parts += [_notes(title)] if title else []
        title = block if len(lines) <= _MOST_TITLE_LINES else ""
        parts += [] if title else [_notes(block)]
    return "\n".join(parts + ([_notes(title)] if title else []))


def _results_table(columns: Sequence[Column], title: str) -> str:
    numbers = {i for i, column in enumerate(columns) if column.is_number}
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return table(rows, ["\n".join(column.head) for column in columns], caption=title, numbers=numbers)


def _notes(text: str) -> str:
    is_aligned = any("  " in line for line in text.split("\n"))
    return preformatted(text) if is_aligned else f'<p class="notes">{escape(text)}</p>'


def table(
    rows: Sequence[Sequence[str]], columns: Sequence[str] = (), *, caption: str = "", numbers: Collection[int] = ()
) -> str:
    """Return a table; the first cell of each row is its header. If it is wide it scrolls, beside these headers.

    Args:
      rows: the texts of its cells.
      columns: the names of its columns; without them it is a list of names and values.
      caption: its title.
      numbers: the indices of the columns of numbers, which are aligned at the right.
    """
    # Beside the table, since a caption in it would be as wide, and scroll with it.
    above = f'<p class="caption">{escape(caption)}</p>\n' if caption else ""
    lines = [f"<thead>{_row(['col'] * len(columns), columns, numbers)}</thead>"] if columns else []
    body = "\n".join(_row(["row"], row, numbers) for row in rows)
    kind = "numbers" if columns else "settings"
    name = f' role="region" aria-label="{escape(caption)}"' if caption else ""
    head = f'{above}<div class="scroll {kind}" tabindex="0"{name}><table>\n'
    return head + "\n".join([*lines, f"<tbody>{body}</tbody>"]) + "\n</table></div>"


def _row(scopes: Sequence[str], cells: Sequence[str], numbers: Collection[int]) -> str:
    """Return a row whose first cells are headers with the given scopes."""
    made = []
    for i, text in enumerate(cells):
        right = ' class="number"' if i in numbers else ""
        tag, scope = ("th", f' scope="{scopes[i]}"') if i < len(scopes) else ("td", "")
        right = right or (' class="long"' if tag == "td" and len(text) > _LONG else "")
        made.append(f"<{tag}{scope}{right}>{escape(text)}</{tag}>")
    return "".join(["<tr>", *made, "</tr>"])


def picture(png: bytes, caption: str, svg: bytes | None = None) -> str:
    """Return a PNG with its caption; on a narrow screen it scrolls instead of shrinking too far.

    If there is an SVG of the same drawing, the page has that: it follows the page in light and dark mode.
    """
    width, height = struct.unpack(">II", png[16:24])
    kind, paper = ("png", ' class="paper"') if svg is None else ("svg+xml", "")
    data, text = base64.b64encode(png if svg is None else svg).decode(), escape(caption)
    return (
        f'<figure><div class="scroll" tabindex="0"><img{paper} src="data:image/{kind};base64,{data}" '
        f'width="{width}" height="{height}" alt="{text}"></div>\n<figcaption>{text}</figcaption></figure>'
    )
