"""Docstrings as Markdown: their prose, arguments, returns, and formulas, which are Unicode, typeset as they are."""

import html
import inspect
import re
from typing import Any

SECTIONS = ("Args:", "Returns:", "Raises:", "Example:", "Attributes:", "Yields:")
_LETTER = r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u1e00-\u1eff\u2113]"
_IN_BRACES = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_IN_PARENTHESES = r"\([^()]*(?:\([^()]*\)[^()]*)*\)"
_SCRIPTS = re.compile(
    rf"""(?<![A-Za-z_.])                   # a name's last letter is not a variable
    (?P<base>[d∂ΣΠ]?{_LETTER}[\u0300-\u036f]?'?|Σ|Π|softmax)
    (?P<kind>[_^])
    (?P<script>{_IN_BRACES}|\[[A-Za-z0-9+-]+\]
      |(?<=\^){_IN_PARENTHESES}
      |[\u0370-\u03ff](?:{_IN_PARENTHESES})?
      |-?{_LETTER}+(?![A-Za-z0-9_])|-?[A-Za-z0-9]{{1,3}}(?![A-Za-z0-9_]))
    |(?P<word>[a-z]{{2,}})_(?P<index>[a-z]{{1,2}}|{_IN_BRACES})(?![A-Za-z0-9_])   # kept_ij, and not in_shape
    |(?P<power>[)\]0-9])\^(?P<exponent>{_IN_BRACES}|{_IN_PARENTHESES}|-?[A-Za-z0-9]+)""",
    re.VERBOSE,
)
# A cell of a line of formulas that is a remark: it begins with words.
_REMARK = re.compile(r"[a-z]+ [a-z]+\b(?! =)")


def prose(function: Any) -> str:
    """Return a function's docstring without its sections, with the line of its source, as Markdown."""
    kept, inside = [], False
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(function) or "")
    for paragraph, after in zip(paragraphs, [*paragraphs[1:], ""], strict=True):
        if paragraph.startswith(SECTIONS):
            inside = True
        elif not (inside and paragraph.startswith(" ")) and not after.lstrip().startswith(">>>"):
            inside = False
            kept.append(paragraph)
    return "\n\n".join(map(_block, kept))


def symbols(function: Any) -> str:
    """Return the arguments of a function, with their shapes, and what it returns as a Markdown table; "" if neither."""
    text = inspect.getdoc(function) or ""
    arguments = re.split(r"^  (\w+): ", _section(text, "Args:"), flags=re.MULTILINE)[1:]
    rows = [
        f'| <code class="argument">{name}</code> | {_inline(" ".join(meaning.split()))} |'
        for name, meaning in zip(arguments[::2], arguments[1::2], strict=True)
    ]
    if returned := _section(text, "Returns:"):
        rows.append(f"| returns | {_inline(' '.join(returned.split()))} |")
    return "\n".join(["| symbol | meaning and shape |\n|---|---|", *rows]) if rows else ""


def _section(text: str, name: str) -> str:
    """Return the indented lines below the name of a section."""
    found = re.search(rf"^{name}\n((?:  .*\n?|\n(?=  ))+)", text, flags=re.MULTILINE)
    return found[1] if found else ""


def _block(paragraph: str) -> str:
    if paragraph.startswith("    "):
        lines = "".join(map(_line, paragraph.rstrip().splitlines()))
        return f'<div class="formula" tabindex="0"><div>{lines}</div></div>'
    if all(line.startswith(("- ", "  ")) for line in paragraph.splitlines()):
        items = re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:]
        return "\n".join("- " + _inline(" ".join(item.split())) for item in items)
    return _inline(paragraph)


def _line(line: str) -> str:
    """Return a line of formulas as a row: cells that two blanks separate, a formula in two, up to its = and from it."""
    cells = []
    for cell in re.split(r" {2,}(?![ =])", line.strip()):
        shown = typeset(html.escape(re.sub(" +", " ", cell), quote=False))
        if _REMARK.match(cell):
            cells.append(f'<span class="remark">{shown}</span>')
        else:
            left, equals, right = shown.partition(" = ")
            cells += [f"<span>{left}</span>", f"<span>= {right}</span>"] if equals else [f"<span>{shown}</span>"]
    return f"<div>{''.join(cells)}</div>"


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
      >>> typeset("dx_j = Σ_k d_k p_t(k), W^[l], e^(S - μ)")
      'dx<sub>j</sub> = Σ<sub>k</sub> d<sub>k</sub> p<sub>t</sub>(k), W<sup>[l]</sup>, e<sup>S - μ</sup>'
    """
    text = text.replace("&#91;", "[").replace("&#93;", "]")

    def script(match: re.Match[str]) -> str:
        base = match["base"] or match["word"] or match["power"]
        inner = match["script"] or match["index"] or match["exponent"]
        tag = "sub" if match["word"] or match["kind"] == "_" else "sup"
        if inner[0] in "{(":
            inner = inner[1:-1]
        return f"{base}<{tag}>{typeset(inner.strip())}</{tag}>"

    return _SCRIPTS.sub(script, text).replace("_", "&#95;")
