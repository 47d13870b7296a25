"""The studies: a page for each from its declaration, with its options."""

import ast
import dataclasses
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from experiments.runs.study import FIELDS, Study
from experiments.studies.registry import studies
from scripts.website.pages import Page


def pages() -> list[Page]:
    """Return the page of the list, and that of each study."""
    found = studies()
    rows = [f"| [`{study.name}`]({study.name}.md) | {study.title} | {study.time} |" for study in found]
    text = [
        "# Studies\n",
        "Experiments with a question, a command, a time and an expected result. [Results](../results.md) compares them "
        "with what was published; [the experiments](../experiments.md) describes the program.\n",
        "| study | title | time |\n|---|---|---|",
        *rows,
        "",
    ]
    return [Page("studies/index.md", "All studies", "\n".join(text)), *map(_page, found)]


def _page(study: Study) -> Page:
    text = [f"# {study.name}\n", study.title + "\n"]
    for field in FIELDS:
        value = study.field(field)
        if value:
            text.append(f"**{field}.** " + (f"`{as_scripts_run(value)}`" if field == "Command" else value) + "\n")
    if study.notes:
        text.append(study.notes + "\n")
    options = importlib.import_module(study.package).Options
    text.append("## Options\n\n| option | default | meaning |\n|---|---|---|")
    described = dict(_described(options))
    for field in dataclasses.fields(options):
        if field.name in described:
            default = _default(field)
            text.append(
                f"| `--{field.name.replace('_', '-')}` | {default} | {' '.join(described[field.name].split())} |"
            )
    return Page(f"studies/{study.name}.md", study.name, "\n".join(text) + "\n")


def as_scripts_run(command: str) -> str:
    """Return a declared command as `scripts/run`, which needs no environment that is set up, takes it."""
    return command.replace("python -m experiments run", "scripts/run")


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default}`" if field.default not in (None, "") else ""
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else ""
    return f"`{made}`" if made != "" else ""


def _described(options: type) -> Iterator[tuple[str, str]]:
    """Return each option with the string below it, in the class and in those that it inherits from."""
    for owner in reversed(options.__mro__[:-1]):
        try:
            [node] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        except (OSError, TypeError):
            continue
        for one, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                yield one.target.id, str(text.value.value)
