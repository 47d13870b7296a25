"""The API reference: a page for each package, whose names mkdocstrings documents from the sources."""

import ast
import importlib
import inspect
import pkgutil
import sys
from functools import cache
from typing import Any

import jaxnn
from scripts.website.pages import Page

PACKAGES = {
    "nn": "Layers, cells, and the functions that make layers of layers.",
    "losses": "Losses, as pairs of value and gradient.",
    "regularizers": "Regularizers of params, as pairs of value and gradient.",
    "models": "Networks with their losses, and files of them.",
    "data": "Batches, splits, standardization, streams, augmentation.",
    "optim": "Optimizers and schedules by name, loss scaling, updates that are not finite.",
    "train": "Objectives, steps, epochs, `fit` and `fit_stream`, checkpoints, early stopping.",
    "population": "Many trainings in one program.",
    "parallel": "Meshes of devices, and where arrays lie on them.",
    "metrics": "Metrics of predictions, and the analysis of errors.",
    "decoding": "Labels and sequences from outputs over time.",
    "gradcheck": "Checks of gradients.",
    "graph": "Computation graphs.",
    "plots": "Plots, with matplotlib.",
    "sklearn": "Estimators in scikit-learn's interface.",
    "contrib": "Training in the row space, and widths that are traced.",
}


def pages() -> list[Page]:
    """Return the page of the top level and of each package."""
    return [_top(), *(_package(name, summary) for name, summary in PACKAGES.items())]


def homes() -> dict[str, str]:
    """Return the full path of each public name that is documented, for links."""
    found = {}
    for name in PACKAGES:
        for path in _paths(importlib.import_module(f"jaxnn.{name}")):
            short = path.rsplit(".", 1)[1]
            for known in (short, f"{name}.{short}", f"jaxnn.{name}.{short}"):
                found.setdefault(known, path)
    top = {name: found[name] for name in jaxnn.__all__ if name in found and name not in PACKAGES}
    return found | {f"jaxnn.{name}": path for name, path in top.items()}


def _top() -> Page:
    known = homes()
    names = ", ".join(f"[`{name}`][{known[name]}]" for name in jaxnn.__all__ if name in known and name not in PACKAGES)
    rows = [f"| [`jaxnn.{name}`]({name}.md) | {summary} |" for name, summary in PACKAGES.items()]
    text = [
        "# jaxnn\n",
        "| package | contents |\n|---|---|",
        *rows,
        "\nWhat is typed most is in `jaxnn` itself: " + names + ".\n",
        "The pure functions of layers and losses, such as [`dense_forward`][jaxnn.nn.linear.dense_forward], are in "
        "`jaxnn.functional` too; [the derivations](../derivations/index.md) have them with their code.\n",
    ]
    return Page("reference/index.md", "jaxnn", "\n".join(text))


def _package(name: str, summary: str) -> Page:
    text = [f"# jaxnn.{name}\n", summary + "\n"]
    text += [f"::: {path}\n" for path in _paths(importlib.import_module(f"jaxnn.{name}"))]
    return Page(f"reference/{name}.md", f"jaxnn.{name}", "\n".join(text))


def _paths(package: Any) -> list[str]:
    """Return the full path of each name that a package exports, but for those that other packages define."""
    paths = []
    for name in package.__all__:
        value = getattr(package, name)
        if inspect.ismodule(value):
            continue
        module = getattr(value, "__module__", None) if getattr(value, "__name__", None) == name else None
        module = module if module and module.startswith("jaxnn.") else _defining(package.__name__, name)
        others = {f"jaxnn.{other}" for other in PACKAGES} - {package.__name__}
        if module and not any(module == other or module.startswith(other + ".") for other in others):
            paths.append(f"{module}.{name}")
    return paths


@cache
def _defining(package: str, name: str) -> str | None:
    """Return the module of a package that assigns a constant or a type alias of this name."""
    home = sys.modules[package]
    found = [info.name for info in pkgutil.walk_packages(getattr(home, "__path__", []), f"{package}.")]
    for module in filter(None, map(sys.modules.get, [*found, package])):
        if name in _assigned(module.__name__):
            return module.__name__
    return None


@cache
def _assigned(module: str) -> set[str]:
    """Return the names that a module assigns, outside of functions and classes."""
    targets: list[ast.expr] = []
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign):
            targets.append(node.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}
