"""Count the executable lines of the library that guard arguments, from the sources.

A line is executable if a statement spans it, docstrings and imports aside. It guards arguments if it belongs to

- a `raise` of ValueError or TypeError;
- an `if`, `for` or `with` whose body only guards, with its condition;
- a statement that only calls a function named `check` or `check_...`, or such a function itself;
- an assignment to local names that only guarding lines read, such as the hint of a message;
- a class that is a constraint, `class X(Constraint)`, or derived from one, outside of `jaxnn/constraints/`.

Decorators `@checked(...)` do not count, nor does a constraint that is declared at the top of a module: they state what
an argument is, and the message, the test and the documentation are made from them. The mechanism, `jaxnn/constraints/`,
is counted apart: it does not grow with the functions that use it.
"""

import ast
from pathlib import Path

from jaxnn import constraints

MECHANISM = "constraints/"
_CONSTRAINTS = {name for name in constraints.__all__ if name[0].isupper()}
_ARGUMENT_ERRORS = {"ValueError", "TypeError"}
_BODIES = ("body", "orelse", "finalbody", "handlers")


def count(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Return (guarding lines, executable lines, raises, all lines) by file; files of the mechanism have no guards."""
    counts = {}
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = path.relative_to(folder).as_posix()
        guards = set() if name.startswith(MECHANISM) else guarding_lines(tree)
        raises = sum(isinstance(node, ast.Raise) for node in ast.walk(tree))
        counts[name] = len(guards), len(executable_lines(tree)), raises, len(text.splitlines())
    return counts


def executable_lines(*nodes: ast.AST) -> set[int]:
    """Return the lines that statements span; of a compound statement, those of its header and of what it holds."""
    statements = [node for root in nodes for node in ast.walk(root) if isinstance(node, ast.stmt)]
    skipped = (ast.Import, ast.ImportFrom)
    return {
        line
        for node in statements
        if not isinstance(node, skipped) and not _is_docstring(node)
        for line in range(node.lineno, _last_own_line(node) + 1)
    }


def guarding_lines(tree: ast.AST) -> set[int]:
    """Return the executable lines that guard arguments."""
    guards: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and _guards(node):
            guards |= executable_lines(node)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            guards |= _locals_of_guards(function, guards)
    return guards


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _last_own_line(node: ast.stmt) -> int:
    """Return the last line of a simple statement, or of the header of a compound one."""
    if not any(getattr(node, field, None) for field in _BODIES):
        return node.end_lineno
    header = [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.stmt | ast.excepthandler)]
    ends = [getattr(part, "end_lineno", None) for one in header for part in ast.walk(one)]
    decorators = getattr(node, "decorator_list", ())
    return max([node.lineno, *(end for end in ends if end and end not in {one.end_lineno for one in decorators})])


def _guards(node: ast.stmt) -> bool:
    """Return whether a statement only guards arguments."""
    match node:
        case ast.Raise():
            return isinstance(node.exc, ast.Call) and _name(node.exc.func) in _ARGUMENT_ERRORS
        case ast.Expr(value=ast.Call(func=called)):
            return _is_check(_name(called))
        case ast.FunctionDef(name=name):
            return _is_check(name)
        case ast.ClassDef(bases=bases):
            return any(_name(base) in _CONSTRAINTS for base in bases)
        case ast.If():
            return _only_guards(node.body) and (not node.orelse or _only_guards(node.orelse))
        case ast.For() | ast.With():
            return _only_guards(node.body)
    return False


def _only_guards(body: list[ast.stmt]) -> bool:
    """Return whether a block ends in a guard, after nothing but guards and assignments."""
    return _guards(body[-1]) and all(_guards(node) or _assigns(node) for node in body)


def _assigns(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) or (isinstance(node, ast.If) and all(map(_assigns, [*node.body, *node.orelse])))


def _is_check(name: str) -> bool:
    return name.lstrip("_") == "check" or name.lstrip("_").startswith("check_")


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _locals_of_guards(function: ast.FunctionDef, guards: set[int]) -> set[int]:
    """Return the lines of assignments to local names that only guarding lines read, again until there are no more."""
    found: set[int] = set()
    reads = [node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    while True:
        before = len(found)
        needed = {node.id for node in reads if node.lineno not in guards | found}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and all(
                isinstance(target, ast.Name | ast.Tuple) for target in node.targets
            ):
                names = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
                if names and not names & needed and names & {read.id for read in reads}:
                    found |= executable_lines(node)
        if len(found) == before:
            return found
