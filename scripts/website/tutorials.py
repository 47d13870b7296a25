"""The tutorials: scripts of `docs/tutorials` in cells, run at the build, as pages and as notebooks with their outputs.

A cell begins with `# %%`, a cell of text with `# %% [markdown]`, and a cell that makes pictures with what they show,
`# %% The cost over iterations`, for those who do not see them; ` | ` separates several. What a cell prints is shown,
the value of its last expression, and the figures of matplotlib that it leaves open.
"""

import ast
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from scripts.website.pages import ROOT, Page

FOLDER = ROOT / "docs" / "tutorials"
NAMES = (
    "logistic_regression",
    "network_by_hand",
    "layer_and_proof",
    "training_practice",
    "photographs",
    "speech",
    "many_trainings",
    "many_devices",
    "graphs",
)


class Cell(NamedTuple):
    """A cell: source, whether it is text, line, what its pictures show; after it has run what it printed, and these."""

    source: str
    is_text: bool
    line: int
    shows: tuple[str, ...] = ()
    printed: str = ""
    pictures: tuple[str, ...] = ()


def scripts() -> list[Path]:
    """Return the scripts in the order in which they are read."""
    return [FOLDER / f"{name}.py" for name in NAMES]


def cells(script: str) -> list[Cell]:
    """Return the cells of a script.

    Raises:
      ValueError: if something stands before the first cell.
    """
    before, *parts = re.split(r"^(# %%.*\n)", script, flags=re.MULTILINE)
    if before.strip():
        raise ValueError(f"a tutorial must begin with a cell, `# %%`, got {before.strip()[:40]!r}")
    found, line = [], 1
    for kind, source in zip(parts[::2], parts[1::2], strict=True):
        is_text = "[markdown]" in kind
        text = re.sub(r"^# ?", "", source, flags=re.MULTILINE) if is_text else source
        blank = len(text) - len(text.lstrip("\n"))
        shows = tuple(filter(None, kind.removeprefix("# %%").replace("[markdown]", "").strip().split(" | ")))
        found.append(Cell(text.strip("\n"), is_text, line + 1 + blank, shows))
        line += 1 + source.count("\n")
    return found


def run(script: Path) -> list[Cell]:
    """Run a tutorial; return its cells with what they show."""
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    text = script.read_text(encoding="utf-8")
    return [cell if cell.is_text else _run(cell, namespace, str(script)) for cell in cells(text)]


def _run(cell: Cell, namespace: dict[str, Any], name: str) -> Cell:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    # With the lines of the script, so that the graph and the checker find the code.
    tree = ast.increment_lineno(ast.parse(cell.source), cell.line - 1)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    pictures = []
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        value = eval(compile(last, name, "eval"), namespace) if last is not None else None
        if hasattr(value, "_repr_svg_"):
            pictures.append(value._repr_svg_())
        elif value is not None and not _is_drawing(value):
            print(value)
    for number in plt.get_fignums():
        svg = io.StringIO()
        plt.figure(number).savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
        pictures.append(svg.getvalue())
    plt.close("all")
    return cell._replace(printed=printed.getvalue().replace(f"{ROOT}/", "").rstrip("\n"), pictures=tuple(pictures))


def _is_drawing(value: Any) -> bool:
    """Return whether a value is a part of a figure, which is shown itself."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return type(first).__module__.startswith("matplotlib")


def page(script: Path, shown: list[Cell]) -> tuple[Page, dict[str, str]]:
    """Return the page of a tutorial that ran, and the files beside it by name: pictures and the notebook.

    Raises:
      ValueError: if a cell does not state what each of its pictures shows.
    """
    text, files = [], {f"{script.stem}.ipynb": notebook(shown)}
    for cell in shown:
        text.append(cell.source if cell.is_text else f"```python\n{cell.source}\n```")
        if cell.printed:
            text.append(f"```text\n{cell.printed}\n```")
        if len(cell.shows) != len(cell.pictures):
            got = f"{len(cell.pictures)} with {cell.shows}"
            raise ValueError(f"{script.name}:{cell.line}: cell must state what each picture shows, got {got}")
        for picture, alt in zip(cell.pictures, cell.shows, strict=True):
            name = f"{script.stem}-{len(files)}.svg"
            files[name] = picture
            text.append(f"![{alt}]({name})")
    title = shown[0].source.splitlines()[0].removeprefix("# ")
    text.append(f"[This page as a notebook]({script.stem}.ipynb), with its outputs.")
    return Page(f"tutorials/{script.stem}.md", title, "\n\n".join(text) + "\n"), files


def notebook(shown: list[Cell]) -> str:
    """Return a Jupyter notebook of cells, with their outputs."""
    written = []
    for number, cell in enumerate(shown):
        source = cell.source.splitlines(keepends=True)
        if cell.is_text:
            written.append({"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": source})
            continue
        outputs: list[dict[str, Any]] = []
        if cell.printed:
            lines = (cell.printed + "\n").splitlines(keepends=True)
            outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
        for picture in cell.pictures:
            data = {"image/svg+xml": picture.splitlines(keepends=True)}
            outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
        code = {"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": None}
        written.append(code | {"source": source, "outputs": outputs})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": written, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
