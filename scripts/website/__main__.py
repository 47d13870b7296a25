"""Write the pages of the site and its configuration to a folder: `python -m scripts.website build/website`."""

import json
import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from scripts.website import derivations, guides, reference, slips, studies, tutorials
from scripts.website.pages import ROOT, Page, navigation, write
from scripts.website.proofs import proofs


def main(folder: Path) -> None:
    """Write all pages, the navigation, and the names that link to the reference."""
    written = folder / "pages"
    shutil.rmtree(written, ignore_errors=True)
    groups = derivations.entries()
    wanted = [one.case for _, group in groups for one in group] + [("", name) for name in slips.SLIPS]
    found = proofs(wanted, folder / "proofs.json")
    tree = [
        *guides.front(written),
        ("Tutorials", _tutorials(written)),
        (
            "Derivations",
            [
                derivations.index(groups, found),
                *((name, [derivations.page(one, found[one.case]) for one in group]) for name, group in groups),
                slips.page(found),
            ],
        ),
        ("Guides", guides.pages(written)),
        ("Studies", studies.pages()),
        ("Reference", reference.pages()),
        ("Project", guides.project(written)),
    ]
    for page in _leaves(tree):
        write(written, page)
    for name in ("site.css", "iframe-worker.js"):
        shutil.copy(ROOT / "scripts" / "website" / name, written / name)
    config = "INHERIT: ../../mkdocs.yml\ndocs_dir: pages\nsite_dir: ../site\n" + navigation(tree)
    (folder / "mkdocs.yml").write_text(config, encoding="utf-8")
    names = {"reference": reference.homes(), "derivations": derivations.places(groups)}
    (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")


def _tutorials(written: Path) -> list[Page]:
    pages, scripts = [], tutorials.scripts()
    # Each in a process for it alone, since a tutorial may configure JAX.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), spawn, max_tasks_per_child=1) as pool:
        for script, shown in zip(scripts, pool.map(tutorials.run, scripts), strict=True):
            page, files = tutorials.page(script, shown)
            pages.append(page)
            for name, content in files.items():
                write(written, Page(f"tutorials/{name}", name, content))
    return pages


def _leaves(tree: list) -> list[Page]:
    return [page for entry in tree for page in ([entry] if isinstance(entry, Page) else _leaves(entry[1]))]


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
