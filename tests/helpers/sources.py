"""What the source of a module imports and defines."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


def source_name(path):
    """Return the path of a source within the project."""
    return str(path.relative_to(ROOT))


@cache
def imports(path):
    """Return the full dotted names that a file imports, anywhere in it: modules, and the names taken from them."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source_name(path)}: a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def functions(path):
    """Return the names of the functions at the top of a file."""
    return {node.name for node in tree_of(path).body if isinstance(node, ast.FunctionDef)}


@cache
def tree_of(path):
    """Return the syntax tree of a file, of which several tests read something."""
    return ast.parse(path.read_text(encoding="utf-8"))
