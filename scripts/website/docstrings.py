"""Docstrings as Markdown: their prose and formulas, which are written in Unicode, typeset as they are."""

import html
import inspect
import re
from typing import Any

SECTIONS = ("Args:", "Returns:", "Raises:", "Example:", "Attributes:", "Yields:")
_SCRIPTS = re.compile(
    r"""(?<![A-Za-z_.])                    # a name's last letter is not a variable
    (?P<base>[d∂ΣΠ]?[A-Za-z\u0370-\u03ff][\u0300-\u036f]?'?|Σ|Π|max|min|softmax|log)
    (?P<kind>[_^])
    (?P<script>\{[^}]*\}|\[[A-Za-z0-9+-]+\]|-?[A-Za-z0-9]{1,3}(?![A-Za-z0-9_]))""",
    re.VERBOSE,
)


def prose(function: Any) -> str:
    """Return a function's docstring up to its arguments, with the line of its source, as Markdown."""
    kept, inside = [], False
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(function) or "")
    for paragraph, after in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
        if paragraph.startswith(SECTIONS):
            inside = True
        elif not (inside and paragraph.startswith(" ")) and not after.lstrip().startswith(">>>"):
            inside = False
            kept.append(paragraph)
    return "\n\n".join(map(_block, kept))


def _block(paragraph: str) -> str:
    if paragraph.startswith("    "):
        lines = [typeset(html.escape(line[4:], quote=False)) for line in paragraph.rstrip().splitlines()]
        return '<div class="formula">' + "\n".join(lines) + "</div>"
    if all(line.startswith(("- ", "  ")) for line in paragraph.splitlines()):
        items = re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:]
        return "\n".join("- " + _inline(" ".join(item.split())) for item in items)
    return _inline(paragraph)


def _inline(text: str) -> str:
    """Return prose with formulas typeset, but not in code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else typeset(_escaped(part)) for part in parts)


def _escaped(text: str) -> str:
    text = html.escape(text, quote=False)
    return re.sub(r"([*\[\]\\|#])", lambda match: f"&#{ord(match[1])};", text)


def typeset(text: str) -> str:
    """Return a formula with its indices and exponents below and above the line, as HTML.

    Example:
      >>> typeset("dx_j = Σ_k d_k p_t(k), W^[l]")
      'dx<sub>j</sub> = Σ<sub>k</sub> d<sub>k</sub> p<sub>t</sub>(k), W<sup>[l]</sup>'
    """
    text = text.replace("&#91;", "[").replace("&#93;", "]")

    def script(match: re.Match[str]) -> str:
        tag = "sub" if match["kind"] == "_" else "sup"
        return f"{match['base']}<{tag}>{typeset(match['script'].strip('{}'))}</{tag}>"

    return _SCRIPTS.sub(script, text).replace("_", "&#95;")
