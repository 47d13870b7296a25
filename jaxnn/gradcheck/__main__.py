"""`python -m jaxnn.gradcheck package.module:name --shape 32,784 ...`: check a gradient from a shell."""

import argparse
import importlib
import json
import sys
from typing import Any

import jax
import numpy as np

from jaxnn import gradcheck
from jaxnn.losses.loss import Loss
from jaxnn.nn.layer import Layer

_DESCRIPTION = """\
Check the gradient of a function, a layer, a loss or a jax.custom_vjp or custom_jvp function in any importable module.
The arguments are random arrays of the given shapes.

  a jaxnn Layer       one shape, batch first:  --shape 32,784
  a jaxnn Loss        outputs and targets:     --shape 32,10 --shape int10:32
  a custom rule       one shape per argument:  compares the rule with the undecorated function
  a function          one shape per argument:  checks --backward; without it, compares autodiff that uses the custom
                                               rules inside the function with autodiff that does not

The exit status is 0 if the gradient is right, 1 if it is wrong or undecided, 2 if the check could not be run.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; return 0 if the gradient is right, 1 if it is not, 2 if the check could not be run."""
    parser = argparse.ArgumentParser(
        "python -m jaxnn.gradcheck", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", metavar="MODULE:NAME", help="what to check, such as package.module:name")
    parser.add_argument("--backward", metavar="MODULE:NAME", help="backward(args, dy) of a plain function")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="SHAPE",
        help="shape of one argument: 32,784, or () for a scalar; int10:32 for ints 0..9; repeat per argument",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, help="size of the batch axis, if it cannot be found")
    parser.add_argument("--seed", type=int, default=0, help="seed of the arguments and of the check (default 0)")
    parser.add_argument("--fast", action="store_true", help="check only these arguments, in float64 and float32")
    parser.add_argument("--all", action="store_true", help="print every row, including those that passed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(argv)
    try:
        report = _report_on(options)
    except ValueError as error:
        print(f"gradcheck: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        print(report.table() if options.all else report)
    return 0 if report.passed else 1


def _report_on(options: argparse.Namespace) -> gradcheck.Report:
    target = _find(options.target)
    rng = np.random.default_rng(options.seed)
    args = [_array(rng, shape) for shape in options.shape]
    settings: dict[str, Any] = {"seed": options.seed, "fast": options.fast}
    if not args:
        raise ValueError("--shape must be given once per argument, got none: for example --shape 32,784")
    if isinstance(target, Layer):
        if len(args) != 1 or args[0].ndim == 0:
            raise ValueError(f"--shape must be one shape, batch first, for a layer, got {' '.join(options.shape)}")
        m, *in_shape = args[0].shape
        return gradcheck.layer(target, tuple(in_shape), m=m, **settings)
    if isinstance(target, Loss):
        if len(args) != 2:
            raise ValueError(f"--shape must be given twice for a loss, for outputs and targets, got {len(args)}")
        return gradcheck.loss(target, *args, **settings)
    if not callable(target):
        raise ValueError(f"{options.target} must be a function, Layer or Loss, got a {type(target).__name__}")
    settings["batch"] = options.batch
    if options.backward:
        return gradcheck.vjp(target, _find(options.backward), *args, **settings)
    if isinstance(target, jax.custom_vjp | jax.custom_jvp):
        return gradcheck.custom(target, target.fun, *args, **settings)
    return gradcheck.custom(target, gradcheck.without_rules(target), *args, **settings)


def _find(name: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"MODULE:NAME must be like package.module:name, got {name!r}")
    sys.path.insert(0, "")
    try:
        target = importlib.import_module(module)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot find {name!r}: {error}") from error
    return target


def _array(rng: np.random.Generator, text: str) -> np.ndarray:
    kind, colon, shape = text.rpartition(":")
    try:
        sizes = tuple(int(size) for size in shape.strip("()").split(",") if size.strip())
        if min(sizes, default=1) < 0 or (colon and not kind.startswith("int")):
            raise ValueError
        if colon:
            return rng.integers(0, int(kind.removeprefix("int")), sizes).astype(np.int32)
    except ValueError:
        raise ValueError(f"--shape must be sizes such as 32,784, or int10:32 for ints 0..9, got {text!r}") from None
    return rng.normal(size=sizes).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
