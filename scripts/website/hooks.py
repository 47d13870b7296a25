"""Hooks of MkDocs: the name of a public function in the text of a page becomes a link to its reference.

On the pages of the derivations it is a link to its derivation, if it has one.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_CODE = re.compile(r"<code>([A-Za-z_][\w.]*)(\(\))?</code>")


@cache
def _names() -> dict[str, dict[str, str]]:
    return json.loads((Path.cwd() / "build" / "website" / "names.json").read_text(encoding="utf-8"))


def on_post_page(output: str, **_: Any) -> str:
    """Return the page with a name for the dialog of the search, which has none in the theme."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Return the page with links, but in headings and in links."""
    among_derivations = page.file.src_uri.startswith("derivations/")

    def linked(match: re.Match[str]) -> str:
        if among_derivations and (derivation := _names()["derivations"].get(match[1])):
            return f'<a href="{derivation}">{match[0]}</a>'
        path = _names()["reference"].get(match[1])
        return f'<autoref identifier="{path}" optional>{match[0]}</autoref>' if path else match[0]

    parts = re.split(r"(<h\d.*?</h\d>|<a .*?</a>|<autoref.*?</autoref>|<pre.*?</pre>)", html, flags=re.DOTALL)
    return "".join(part if part.startswith(("<h", "<a", "<pre")) else _CODE.sub(linked, part) for part in parts)
