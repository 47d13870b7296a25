"""The pages that are written by hand: the README, the guides of `docs`, and those about the project."""

import shutil
from pathlib import Path

from scripts.website.pages import ROOT, Page, repository_links

GUIDES = {
    "training": "Training",
    "networks": "Networks",
    "layers": "Layers and their proofs",
    "gradcheck": "Testing gradients",
    "populations": "Many trainings at once",
    "devices": "More than one device",
    "processes": "Several processes",
    "precision": "Depth, memory, precision",
    "checkpoints": "Checkpoints and resuming",
    "graphs": "Computation graphs",
    "own_data": "Your own data",
    "experiments": "The experiments",
    "pages": "Pages of runs and graphs",
    "interchange": "Networks of other libraries",
    "scikit_learn": "scikit-learn's interface",
    "coming_from": "Coming from another library",
}
RESULTS = {"results": "Results", "speed": "Speed", "robustness": "Robustness"}
PROJECT = {"CONTRIBUTING.md": "Contributing", "CHANGELOG.md": "Changelog"}


def front(written: Path) -> list[Page]:
    """Return the first page, which is the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    _copy("experiments/cli/graph/notes.svg", written)
    return [Page("index.md", "jaxnn", text)]


def pages(written: Path) -> list[Page]:
    """Return the guides: those of `GUIDES`, and after them the others of `docs`, with their headings as titles."""
    files = sorted((ROOT / "docs").glob("*.md"))
    others = {file.stem: _heading(file) for file in files if file.stem not in GUIDES | RESULTS}
    return [_guide(name, title, written) for name, title in (GUIDES | others).items()]


def project(written: Path) -> list[Page]:
    """Return results and robustness, and what contributors read."""
    of_project = [
        Page(name, title, (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "]("))
        for name, title in PROJECT.items()
    ]
    return [*(_guide(name, title, written) for name, title in RESULTS.items()), *of_project]


def _guide(name: str, title: str, written: Path) -> Page:
    text, outside = repository_links((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"))
    for file in outside - PROJECT.keys():
        _copy(file, written)
    return Page(f"{name}.md", title, text)


def _heading(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def _copy(file: str, written: Path) -> None:
    (written / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / file, written / file)
