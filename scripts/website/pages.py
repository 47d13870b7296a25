"""Pages of the site as Markdown files in a folder, and the navigation that lists them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Page(NamedTuple):
    """A page: where it lies, its title in the navigation, and its text."""

    path: str
    title: str
    text: str


def write(folder: Path, page: Page) -> None:
    """Write a page to the folder."""
    file = folder / page.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.text, encoding="utf-8")


def navigation(tree: list) -> str:
    """Return the `nav` of mkdocs.yml for pages, and pairs of a title and a list of these."""
    lines = ["nav:"]

    def add(entries: list, depth: int) -> None:
        for entry in entries:
            title, content = (entry.title, entry.path) if isinstance(entry, Page) else entry
            indent = "  " * depth
            if isinstance(content, str):
                lines.append(f'{indent}- "{title}": {content}')
            else:
                lines.append(f'{indent}- "{title}":')
                add(content, depth + 1)

    add(tree, 1)
    return "\n".join(lines) + "\n"


def repository_links(text: str, depth: str = "../") -> tuple[str, set[str]]:
    """Return a page of `docs` with links to files outside of it as links into the site, and these files.

    A link `](../CHANGELOG.md)` becomes `](CHANGELOG.md)`; the file is then copied beside the page.
    """
    found: set[str] = set()

    def inside(match: re.Match[str]) -> str:
        found.add(match[1])
        return f"]({match[1]}{match[2]})"

    return re.sub(rf"\]\({re.escape(depth)}([^)#]+)(#[^)]*)?\)", inside, text).replace("None)", ")"), found
