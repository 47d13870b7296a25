"""`python -m jaxnn.gradcheck package.module:name --shape 32,784 ...`: check a gradient from a shell."""

import argparse
import inspect
import json
import re
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn import gradcheck
from jaxnn.constraints import Count, Function
from jaxnn.gradcheck.domains import Domain
from jaxnn.gradcheck.options import PRECISIONS
from jaxnn.gradcheck.problem import parameters_of
from jaxnn.gradcheck.typed_options import DOMAIN_NAMES, arguments_of, domain_of, find
from jaxnn.losses.loss import Loss
from jaxnn.nn.layer import Layer

_DESCRIPTION = """\
Check the gradient of a function, a layer, a loss or a jax.custom_vjp or custom_jvp function in
any importable module, at random arguments of given shapes (--shape) or given arguments (--args).

  a jaxnn Layer    one shape, batch first:  --shape 32,784
  a jaxnn Loss     outputs and targets:     --shape 32,10 --shape int10:32
  a custom rule    one shape per argument:  compares the rule with the undecorated function
  a function       one shape per argument:  checks --backward; without it, compares autodiff that
                                            uses the custom rules inside with autodiff that does not

The exit status is 0 if the gradient is right, 1 if it is wrong or undecided, 2 if the check could
not be run.
"""
_EXAMPLES = """\
examples:
  python -m jaxnn.gradcheck jax.nn:softplus --shape 5
  python -m jaxnn.gradcheck model:f --backward model:f_backward --args model:arguments
  python -m jaxnn.gradcheck model:solve --args arrays.npz --domain A=positive-definite --rtol 1e-6
  python -m jaxnn.gradcheck model:quantize --shape 4,3 --instead model:identity --dtypes float32
"""
_OF_FUNCTIONS = ("backward", "batch", "rtol", "atol", "domain", "instead", "kinks", "dtypes", "order")
"""Options that only checks of functions have, not those of layers and losses."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if the gradient is right, 1 if it is not, 2 if the check could not be run."""
    options = _parser().parse_args(argv)
    try:
        report = _report_on(options)
    except ValueError as error:
        print(f"gradcheck: {_as_typed(str(error))}", file=sys.stderr)
        return 2
    except Exception as error:  # of a function that an option names: not the status of a wrong gradient
        sys.excepthook(type(error), error, error.__traceback__)
        return 2
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        print(report.table() if options.all else report)
    return 0 if report.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m jaxnn.gradcheck",
        usage="%(prog)s MODULE:NAME (--shape SHAPE ... | --args ARGS) [options]",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=98, max_help_position=26),
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="MODULE:NAME", help="what to check, such as package.module:name")
    parser.add_argument("--backward", metavar="MODULE:NAME", help="backward(args, dy) of a plain function")

    arguments = parser.add_argument_group("arguments")
    arguments.add_argument(
        "--shape", action="append", default=[], metavar="SHAPE",
        help="shape of one argument: 32,784, or () for a scalar; int10:32 for whole numbers 0..9, complex:3,3 or "
        "float64:3 for another dtype than float32; repeat per argument",
    )  # fmt: skip
    arguments.add_argument(
        "--args", metavar="ARGS",
        help="MODULE:NAME of the tuple of arguments, or of a function of nothing or of a seed that returns it; or a "
        "file: FILE.npy with one array, FILE.npz with arrays by the names of parameters or in order",
    )  # fmt: skip
    arguments.add_argument("--seed", type=int, default=0, help="seed of the arguments and of the check (default 0)")
    arguments.add_argument("--batch", type=int, metavar="N", help="size of the batch axis, if it cannot be found")
    arguments.add_argument(
        "--domain", action="append", default=[], metavar="DOMAIN",
        help=f"where the arguments lie: {', '.join(DOMAIN_NAMES)}, or MODULE:NAME of a function that projects them; "
        "NAME=DOMAIN for one argument; repeat per argument",
    )  # fmt: skip

    check = parser.add_argument_group("check")
    check.add_argument("--fast", action="store_true", help="check these arguments only, in float64 and their dtype")
    check.add_argument("--rtol", type=float, metavar="X", help="error allowed, relative to each largest gradient")
    check.add_argument("--atol", type=float, metavar="X", help="error allowed, absolute")
    check.add_argument("--instead", metavar="MODULE:NAME", help="the function whose gradient is meant, if another one")
    check.add_argument("--kinks", metavar="any|jax", help="slopes that are right at a kink (default any)")
    check.add_argument("--dtypes", metavar="DTYPES", help=f"precisions to check in, of {','.join(PRECISIONS)}")
    check.add_argument("--order", type=int, metavar="N", help="2 to check the derivative of the backward too, 1 not to")

    output = parser.add_argument_group("output")
    output.add_argument("--all", action="store_true", help="print every row, including those that passed")
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def _report_on(options: argparse.Namespace) -> gradcheck.Report:
    Count(0).check("--seed", options.seed)
    target = _made(find("MODULE:NAME", options.target))
    if not callable(target) and not isinstance(target, Layer | Loss):
        raise ValueError(f"{options.target} must be a function, Layer or Loss, got a {type(target).__name__}")
    # JAX has no float64 arrays, unless they are enabled.
    wide = any(shape.startswith(("float64:", "complex128:")) for shape in options.shape)
    with jax.enable_x64(True) if wide else nullcontext():
        if isinstance(target, Layer | Loss):
            return _on_component(target, options)
        return _on_function(target, options)


def _made(target: Any) -> Any:
    """Return what a factory of a layer or a loss makes, if it needs no argument; else the target itself."""
    if not inspect.isfunction(target) or not Function().accepts(target):
        return target
    try:
        made = target()
    except Exception:  # of a function to check, whose arguments are optional
        return target
    return made if isinstance(made, Layer | Loss) else target


def _on_component(target: Layer | Loss, options: argparse.Namespace) -> gradcheck.Report:
    kind = "layer" if isinstance(target, Layer) else "loss"
    excess = [name for name in _OF_FUNCTIONS if getattr(options, name) not in (None, [])]
    if excess:
        raise ValueError(f"--{excess[0]} must be left out for a {kind}, got {getattr(options, excess[0])!r}")
    settings: dict[str, Any] = {"seed": options.seed, "fast": options.fast}
    if isinstance(target, Loss):
        args = arguments_of(options.args, options.shape, options.seed, ["z", "y"])
        if len(args) != 2:
            given = "--args must hold 2 arguments" if options.args else "--shape must be given twice"
            raise ValueError(f"{given} for a loss, for outputs and targets, got {len(args)}")
        return gradcheck.loss(target, *args, **settings)
    if options.args:
        raise ValueError(f"--args must be left out for a layer, got {options.args!r}: pass --shape, batch first")
    args = arguments_of(options.args, options.shape, options.seed, [])
    if len(args) != 1 or args[0].ndim == 0:
        raise ValueError(f"--shape must be one shape, batch first, for a layer, got {' '.join(options.shape)}")
    m, *in_shape = args[0].shape
    return gradcheck.layer(target, tuple(in_shape), m=m, **settings)


def _on_function(target: Any, options: argparse.Namespace) -> gradcheck.Report:
    positional = [p for p in parameters_of(target) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = [p.name for p in positional]
    args, domain = arguments_of(options.args, options.shape, options.seed, names), domain_of(options.domain)
    _check_number(options, positional, args, target)
    if options.shape:
        args = _inside(domain, args, names)
    settings: dict[str, Any] = {"seed": options.seed, "fast": options.fast, "domain": domain}
    settings |= {name: getattr(options, name) for name in ("batch", "order")}
    settings |= {name: v for name in ("rtol", "atol", "kinks") if (v := getattr(options, name)) is not None}
    if options.dtypes is not None:
        settings["dtypes"] = tuple(name.strip() for name in options.dtypes.split(","))
    if options.instead:
        settings["instead"] = find("--instead", options.instead)
    if options.backward:
        return gradcheck.vjp(target, find("--backward", options.backward), *args, **settings)
    if isinstance(target, jax.custom_vjp | jax.custom_jvp):
        return gradcheck.custom(target, target.fun, *args, **settings)
    return gradcheck.custom(target, gradcheck.without_rules(target), *args, **settings)


def _check_number(
    options: argparse.Namespace, parameters: list[inspect.Parameter], args: tuple[Any, ...], target: Any
) -> None:
    """Raise ValueError if the target does not take that many arguments by position."""
    if Function(*map(str, range(len(args)))).accepts(target):
        return
    stated = "--shape must be given once" if options.shape else "--args must hold one value"
    names = "".join(f"{p.name}{'' if p.default is p.empty else ' (optional)'}, " for p in parameters)
    got = f"got {len(args)}" + (f": {' '.join(options.shape)}" if options.shape else "")
    raise ValueError(f"{stated} for each of the {len(parameters)} arguments of {options.target}, {names}{got}")


def _inside(domain: Any, args: tuple[Any, ...], names: list[str]) -> tuple[Any, ...]:
    """Return random arguments in the domain."""
    names = [names[i] if i < len(names) else f"arg{i}" for i in range(len(args))]
    floating = [i for i, a in enumerate(args) if jnp.issubdtype(a.dtype, jnp.floating)]
    return tuple(Domain(domain, names, names, tuple).project(list(args), floating))


def _as_typed(message: str) -> str:
    """Return a message that begins with the name of an option with that name as it is typed."""
    options = "|".join((*_OF_FUNCTIONS, "seed", "fast"))
    return re.sub(rf"^({options})\b(?= must)", r"--\1", message)


if __name__ == "__main__":
    sys.exit(main())
