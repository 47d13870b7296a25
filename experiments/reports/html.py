"""Make self-contained HTML pages, without scripts or network access, in light or dark mode, for desktop and phone."""

import base64
import struct
from collections.abc import Sequence
from html import escape
from string import Template

_DOCUMENT = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --line: #c9ced6; --soft: #f3f5f8; --bad: #a3160b; }
@media (prefers-color-scheme: dark) { :root { --line: #444b55; --soft: #1f242b; --bad: #ff9a8f; } }
body { max-width: 84rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
h1, h2, p, td, figcaption { overflow-wrap: anywhere; }
pre, .scroll { overflow-x: auto; }
pre { padding: 0.75rem; background: var(--soft); font-size: 0.8rem; line-height: 1.35; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
figure { margin: 1.5rem 0; }
img { height: auto; max-width: max(100%, 40rem); background: white; }
figcaption { max-width: 50rem; }
.failure { padding: 0.75rem; border-left: 0.3rem solid var(--bad); color: var(--bad); background: var(--soft); }
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def document(title: str, *parts: str) -> str:
    """Return a page with the given parts, the results of the functions below."""
    return _DOCUMENT.substitute(title=escape(title), body="\n".join(parts))


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def failure(text: str) -> str:
    """Return the message of a failure, highlighted."""
    return f'<p class="failure">{escape(text)}</p>'


def preformatted(text: str) -> str:
    """Return preformatted text; if it is wide it scrolls horizontally, also with the keyboard."""
    return f'<pre tabindex="0">\n{escape(text)}</pre>'


def table(rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> str:
    """Return a table; the first cell of each row is its header."""
    lines = [_cells("col", columns, [])] if columns else []
    lines += [_cells("row", row[:1], row[1:]) for row in rows]
    return '<div class="scroll" tabindex="0"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _cells(scope: str, headers: Sequence[str], cells: Sequence[str]) -> str:
    named = [f'<th scope="{scope}">{escape(text)}</th>' for text in headers]
    return "".join(["<tr>", *named, *[f"<td>{escape(text)}</td>" for text in cells], "</tr>"])


def picture(png: bytes, caption: str) -> str:
    """Return a PNG with its caption; on a narrow screen it scrolls instead of shrinking too far."""
    width, height = struct.unpack(">II", png[16:24])
    data, text = base64.b64encode(png).decode(), escape(caption)
    return (
        f'<figure><div class="scroll" tabindex="0"><img src="data:image/png;base64,{data}" '
        f'width="{width}" height="{height}" alt="{text}"></div>\n<figcaption>{text}</figcaption></figure>'
    )
