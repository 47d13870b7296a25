"""The gradient checkers to compare: each takes a case of the bench and returns a verdict on its gradient."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.cases import Case, backward_of


class Verdict(NamedTuple):
    """Whether a checker accepts a gradient, with its diagnoses.

    `word` is "ok", "rejected", "crash" or "not applicable".
    """

    right: bool
    kinds: tuple[str, ...] = ()
    word: str = "ok"
    message: str = ""


class NotApplicableError(Exception):
    """The checker does not take the form of this case."""


def is_float(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def check_applicable(case: Case) -> None:
    """Raise NotApplicableError for an integer gradient: in a rule, its product with the cotangent is a float."""
    if case.form == "gradient":
        grads = jax.eval_shape(backward_of(case), case.args, None)
        pairs = [(a, g) for a, g in zip(case.args, grads, strict=True) if g is not None]
        leaves = [leaf for pair in pairs for leaf in zip(*map(jax.tree.leaves, pair), strict=True)]
        if any(is_float(a) and not is_float(g) for a, g in leaves):
            raise NotApplicableError("the gradient is not a float")


def under_rule(case: Case) -> Callable[..., Any]:
    """Return f with the manual gradient as its jax.custom_vjp, as users of the other checkers must write it."""
    if case.form == "custom":
        return case.manual
    g = jax.custom_vjp(lambda *args: case.f(*args))
    if case.form == "rule":
        g.defvjp(*case.manual)
    else:
        g.defvjp(lambda *args: (case.f(*args), args), backward_of(case))
    return g


def of_floats(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """Return that function of its floating leaves only: integers, masks and keys are closed over."""
    g = under_rule(case)
    leaves, tree = jax.tree.flatten(case.args)
    floats = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
    if not floats:
        raise NotApplicableError("no floating argument")

    def of(*values: Any) -> Any:
        replaced = dict(zip(floats, values, strict=True))
        return g(*jax.tree.unflatten(tree, [replaced.get(i, leaf) for i, leaf in enumerate(leaves)]))

    return of, [leaves[i] for i in floats]


def by_jaxnn(case: Case) -> Verdict:
    from jaxnn import gradcheck

    manual = {"rule": case.manual}.get(case.form, (case.manual,))
    functions = (*manual, case.f) if case.form == "custom" else (case.f, *manual)
    report = getattr(gradcheck, case.form)(*functions, *case.args, **case.options)
    return Verdict(bool(report), tuple(dict.fromkeys(d.kind for d in report.diagnoses)))


def asserting(check: Callable[[Callable[..., Any], list[Any]], None]) -> Callable[[Case], Verdict]:
    """Return the checker for a `check` that raises AssertionError; errors of jax.custom_vjp count as caught too."""

    def checker(case: Case) -> Verdict:
        check_applicable(case)
        f, values = of_floats(case)
        try:
            check(f, values)
        except AssertionError as error:
            return Verdict(False, message=str(error))
        except (TypeError, ValueError) as error:
            if "custom_vjp" not in str(error) and "bwd" not in str(error):
                raise
            return Verdict(False, message=str(error))
        return Verdict(True)

    return checker


def check_grads(f: Any, values: list[Any]) -> None:
    from jax.test_util import check_grads

    check_grads(f, values, order=1, modes=("rev",))


def chex_grads(f: Any, values: list[Any]) -> None:
    import chex

    chex.assert_numerical_grads(f, values, order=1, modes=("rev",))


def by_torch(case: Case) -> Verdict:
    """Run torch.autograd.gradcheck on f and its backward, through NumPy arrays, in float64."""
    import torch
    from torch.autograd.gradcheck import GradcheckError  # the function torch.autograd.gradcheck hides this module

    check_applicable(case)
    with jax.enable_x64(True):
        leaves, tree = jax.tree.flatten(case.args)
        leaves = [leaf.astype("float64") if is_float(leaf) else leaf for leaf in leaves]
        floats = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
        if not floats:
            raise NotApplicableError("no floating argument")
        f, backward = jax.jit(case.f), jax.jit(backward_of(case))

        def rebuilt(values: Any) -> Any:
            own = list(leaves)
            for i, value in zip(floats, values, strict=True):
                own[i] = jnp.asarray(value.detach().numpy())
            return jax.tree.unflatten(tree, own)

        shapes = jax.eval_shape(case.f, *rebuilt([torch.tensor(np.array(leaves[i])) for i in floats]))
        out_tree = jax.tree.structure(shapes)

        class Pair(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *values: Any) -> Any:
                ctx.save_for_backward(*values)
                out = [torch.tensor(np.array(leaf)) for leaf in jax.tree.leaves(f(*rebuilt(values)))]
                return tuple(out) if len(out) > 1 else out[0]

            @staticmethod
            def backward(ctx: Any, *cotangents: Any) -> Any:
                args = rebuilt(ctx.saved_tensors)
                dy = jax.tree.unflatten(out_tree, [jnp.asarray(c.numpy()) for c in cotangents])
                grads = []
                for arg, grad in zip(args, backward(args, dy), strict=True):
                    n = len(jax.tree.leaves(arg))
                    grads += [None] * n if grad is None else jax.tree.leaves(grad)
                return tuple(None if grads[i] is None else torch.tensor(np.array(grads[i], float)) for i in floats)

        values = [torch.tensor(np.array(leaves[i]), requires_grad=True) for i in floats]
        if sum(value.numel() for value in values) > 1000:
            raise NotApplicableError("a numerical Jacobian with respect to more than 1000 numbers")
        try:
            torch.autograd.gradcheck(Pair.apply, values)
        except GradcheckError as error:
            return Verdict(False, message=str(error))
        except RuntimeError as error:
            # torch raises this for a gradient of the wrong shape or dtype.
            if "returned an invalid gradient" not in str(error):
                raise
            return Verdict(False, message=str(error))
        return Verdict(True)


TOOLS: dict[str, tuple[str, Callable[[Case], Verdict]]] = {
    "jaxnn": ("jaxnn.gradcheck", by_jaxnn),
    "jax": ("jax.test_util.check_grads", asserting(check_grads)),
    "chex": ("chex.assert_numerical_grads", asserting(chex_grads)),
    "torch": ("torch.autograd.gradcheck", by_torch),
}


def missing(tool: str) -> str:
    """Return why a tool cannot be run here, or ""."""
    if tool == "jaxnn":
        try:
            from jaxnn import gradcheck

            absent = [name for name in ("gradient", "vjp", "rule", "custom") if not hasattr(gradcheck, name)]
            return f"lacks {', '.join(absent)}" if absent else ""
        except ImportError as error:
            return f"not importable ({error})"
    return "" if importlib.util.find_spec(tool) else "not installed"
