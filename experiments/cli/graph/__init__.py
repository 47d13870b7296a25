"""Print the computation graph of an expression or a function: every value, and the derivative with respect to it.

An expression may use + - * / **, exp, log, tanh, sigmoid and relu, and named steps: "u = b*c; v = a + u; 3*v". Values
follow it: a=5 b=3 c=2. An expression that looks like an option is given last, after --: -- "--x" x=2.

A function is given as package.module:name. It is called with a random array for each of --shapes: --shapes 4,3 "()"
int10:4 are two arrays of floats, and one of integers from 0 to 9.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from experiments.runs.atomic_write import write_new


@dataclass(frozen=True)
class Options:
    """The options of `graph`."""

    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="WHAT")]
    """An expression, such as "3*(a + b*c)", or a function, package.module:name."""
    values: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME=NUMBER ...")] = ()
    """The value of each variable of an expression."""
    shapes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SHAPE ...")] = ()
    """The shape of each argument of a function."""
    seed: int = 0
    """Seed of the random arguments of a function."""
    depth: int = 0
    """The number of nested levels, such as jitted functions and loops, that are expanded."""
    by_layer: bool = False
    """Draw each named scope of a function as one box."""
    svg: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Draw the graph to this SVG file, which must not exist."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write an interactive page to this file, which must not exist."""


_OPTION = re.compile(r"-h|--[a-zA-Z][a-zA-Z-]*(=.*)?", re.DOTALL)


def words(argv: Sequence[str]) -> list[str]:
    """Mark arguments that begin with a minus but are not options, for the parser.

    These are expressions such as -x, arguments after --, and --x if there is an x=2, for example. The typographic minus
    is a minus.
    """
    known = {f"--{field.name.replace('_', '-')}" for field in fields(Options)}
    variables = {f"--{word.partition('=')[0]}" for word in argv if "=" in word} - known
    options = [bool(_OPTION.fullmatch(word)) and word not in variables for word in argv]
    argv = [word.replace("\N{MINUS SIGN}", "-") for word in argv]
    end = argv.index("--") if "--" in argv else len(argv)
    plain = [
        word.startswith("-") and not is_option and not _is_number(word)
        for word, is_option in zip(argv[:end], options, strict=False)
    ]
    # To the parser, a word that begins with a blank is not an option.
    plain += [word.startswith("-") for word in argv[end + 1 :]]
    del argv[end : end + 1]
    return [f" {word}" if is_plain else word for word, is_plain in zip(argv, plain, strict=True)]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def run_command(options: Options) -> str:
    """Return the graph as a table; write the picture and the page if their options are given.

    Raises:
      ValueError: if the expression or function is invalid, or a file exists already.
      OSError: if a file cannot be written.
    """
    from experiments.cli.graph import inputs
    from experiments.reports import tables

    for file in (options.svg, options.html):
        if file is not None and file.exists():
            raise ValueError(f"{file} exists already: choose another file")
        if file is not None:
            file.parent.stat()  # raises before anything is computed
    traced = inputs.traced(options)
    traced = traced.by_layer() if options.by_layer else traced
    for option, file, written in (("--svg", options.svg, traced.svg), ("--html", options.html, traced.html)):
        if file is not None:
            write_new(file, written().encode(), option)
    first = traced.first_nonfinite()
    return tables.refitted(traced.text(), 1) + (f"\nnot finite: {first}" if first else "")
