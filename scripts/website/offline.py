"""Check that the pages of a site load nothing from the network: `python -m scripts.website.offline build/site`."""

import re
import sys
from pathlib import Path

# What a browser loads with a page, unlike a link that a reader follows.
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc="((?:https?:)?//[^"]*)"
    |<link\b(?=[^>]*\brel="(?:stylesheet|icon|preconnect|preload|modulepreload)")[^>]*?\bhref="((?:https?:)?//[^"]*)"
    |(?:url\(|@import\s)["']?((?:https?:)?//[^"')]*)""",
    re.VERBOSE,
)


def loaded(text: str) -> list[str]:
    """Return the addresses in the network that a page or a style sheet loads."""
    return [next(filter(None, found)) for found in LOADED.findall(text)]


def main(site: Path) -> int:
    """Print each file that loads something with what it loads; return 1 if there is one, else 0."""
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    found = {file.relative_to(site): loaded(file.read_text(encoding="utf-8")) for file in files}
    for file, addresses in found.items():
        for address in addresses:
            print(f"{file} loads {address}", file=sys.stderr)
    return 1 if any(found.values()) or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
