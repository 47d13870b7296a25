"""Rejected arguments, generated from the declarations, and the number of lines that guard arguments."""

import inspect
from functools import partial
from types import ModuleType

import pytest

import jaxnn
from tests.helpers.guards import MECHANISM, count
from tests.helpers.sources import ROOT


def public_functions():
    """Return name -> function, of all that is public, methods of public classes included."""
    packages = {name: getattr(jaxnn, name) for name in jaxnn.__all__ if isinstance(getattr(jaxnn, name), ModuleType)}
    functions = {}
    for package, module in {"": jaxnn, **packages}.items():
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                members = {f"{name}.{member}": function for member, function in vars(value).items()}
                functions |= {f"{package}.{member}": f for member, f in members.items() if inspect.isfunction(f)}
            elif inspect.isfunction(value):
                functions[f"{package}.{name}".lstrip(".")] = value
    return functions


DECLARED = {id(f): (name, f) for name, f in public_functions().items() if hasattr(f, "constraints")}.values()
ARGUMENTS = [
    (function, argument, constraint)
    for _, function in DECLARED
    for argument, constraint in function.constraints.items()
    if constraint.rejects
]


def test_declared_invalid_values_raise():
    """One test for all of them, since pytest takes longer for a test than each of these does."""
    for function, argument, constraint in ARGUMENTS:
        check_invalid_values(function, argument, constraint)


def check_invalid_values(function, argument, constraint):
    """Arguments are checked before the call, so the others may be missing."""
    parameters = inspect.signature(function).parameters
    parameter, before = parameters[argument], [jaxnn.relu()] * [*parameters].index(argument)
    for value in constraint.rejects:
        call = (
            partial(function, *before, value)  # those before the others are layers
            if parameter.kind is parameter.VAR_POSITIONAL
            else partial(function, **{argument: value})
        )
        with pytest.raises(
            ValueError, match=rf"^({argument}|argument 0 of {function.__name__}) must be .*, got "
        ) as caught:
            call()
        assert any(phrase in str(caught.value) for phrase in constraint.phrases), caught.value


def test_defaults_are_valid():
    """A default is not checked when it is omitted."""
    for name, function in DECLARED:
        parameters = inspect.signature(function).parameters
        assert {*function.constraints} <= {*parameters}, name
        for argument, constraint in function.constraints.items():
            if parameters[argument].default is not inspect.Parameter.empty:
                assert constraint.accepts(parameters[argument].default), f"{name}: {argument}"


def test_declarations_are_found():
    assert {"dense", "dense_forward", "chain", "dropout"} <= {function.__name__ for _, function in DECLARED}


def test_few_lines_guard_arguments():
    """The numbers may only fall. At the start they were 16.0 % and 18.4, without a mechanism."""
    counts = count(ROOT / "jaxnn")
    guards, executable, raises, lines = map(sum, zip(*counts.values(), strict=True))
    mechanism = sum(of_file[1] for name, of_file in counts.items() if name.startswith(MECHANISM))
    assert guards / executable <= 0.0755, f"{guards} of {executable} executable lines guard arguments"
    assert 1000 * raises / lines <= 9.15, f"{raises} raise statements in {lines} lines"
    assert mechanism <= 429, f"{mechanism} executable lines check declarations"
