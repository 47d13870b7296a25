"""An extension of Griffe, which reads docstrings for the reference: `Example:` begins code, as `Examples:` does."""

import re
import textwrap
from typing import Any

import griffe


class SingularExamples(griffe.Extension):
    """Rewrites a docstring before it is parsed: Griffe takes the singular for a note, and text ends its examples."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(docstring: str) -> str:
    """Return a docstring whose examples are one section, with the text between them inside."""
    paragraphs = re.split(r"\n\s*\n", re.sub(r"^Example:$", "Examples:", docstring, flags=re.MULTILINE))
    for i, after in enumerate(paragraphs[1:]):
        if after.startswith("  >>>") and not re.match(r" |\w+:\n", paragraphs[i]):
            paragraphs[i] = textwrap.indent(paragraphs[i], "  ")
    return "\n\n".join(paragraphs)
