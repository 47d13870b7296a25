"""Turn expressions into JAX functions: Python's parser reads them, and only arithmetic is allowed."""

import ast
import inspect
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn import graph

_LONGEST, _DEEPEST = 1000, 50
_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS = dict(exp=jnp.exp, log=jnp.log, tanh=jnp.tanh, sigmoid=jax.nn.sigmoid, relu=jax.nn.relu)
_ALLOWED = "+ - * / **, numbers, variables, exp, log, tanh, sigmoid and relu"


def as_function(text: str, variables: list[str]) -> Callable[..., Any]:
    """Return the function of these variables, in this order, that the text defines, such as `u = b*c; 3*u`.

    Raises:
      ValueError: if the text is not such an expression, is too long or too deep, or has other variables.
    """
    names, steps = _steps(text)
    for step in steps:
        _check(step, _DEEPEST)
    known = set(variables)
    used: set[str] = set()
    for name, step in zip(names, steps, strict=True):
        found = {node.id for node in ast.walk(step) if isinstance(node, ast.Name)} - set(_FUNCTIONS)
        if unknown := sorted(found - known):
            raise ValueError(f"{unknown[0]} has no value: add {unknown[0]}=1, for example")
        used |= found
        if name in known or name in _FUNCTIONS:
            raise ValueError(f"{name} is already defined: give the step another name")
        known |= {name} if name else set()
    if unused := [name for name in variables if name not in used]:
        raise ValueError(f"{unused[0]} is not in {text!r}")

    def function(*values):
        scope = dict(zip(variables, values, strict=True))
        result = None
        for name, step in zip(names, steps, strict=True):
            result = _value(step, scope)
            if name:
                scope[name] = result = graph.name(result, name)
        return result

    function.__name__ = "J" if "J" not in known else "output"
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in variables]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _steps(text: str) -> tuple[list[str], list[ast.expr]]:
    """Return the names of the steps, "" for a step without a name, and their expressions."""
    if len(text) > _LONGEST:
        raise ValueError(f"the expression must have at most {_LONGEST} characters, got {len(text)}")
    try:
        statements = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} cannot be read as an expression: it may have {_ALLOWED}") from None
    names, steps = [], []
    for statement in statements:
        match statement:
            case ast.Expr(value=step):
                name = ""
            case ast.Assign(targets=[ast.Name(id=name)], value=step):
                pass
            case _:
                raise ValueError(f"{ast.unparse(statement)!r} is not an expression: it may have {_ALLOWED}")
        names.append(name)
        steps.append(step)
    if not steps or not all(names[:-1]):
        raise ValueError("expected an expression, after named steps if needed, as in 'u = b*c; 3*u'")
    return names, steps


def _check(node: ast.expr, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"the expression is nested more than {_DEEPEST} deep")
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            inside = [left, right]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            inside = [operand]
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            inside = [argument]
        case ast.Name(id=name) if name not in _FUNCTIONS:
            return
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool) and abs(node.value) < 1e30:
            return
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed in an expression: it may have {_ALLOWED}")
    for part in inside:
        _check(part, depth - 1)


def _value(node: ast.expr, scope: dict[str, Any]) -> Any:
    match node:
        case ast.BinOp(left=base, op=ast.Pow(), right=ast.Constant(value=int(power))):
            return _value(base, scope) ** power
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, scope), _value(right, scope))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand, scope))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return _FUNCTIONS[name](_value(argument, scope))
        case ast.Name(id=name):
            return scope[name]
        case ast.Constant(value=value):
            return jnp.asarray(float(value))
    raise AssertionError(ast.dump(node))  # `_check` rejects everything else
