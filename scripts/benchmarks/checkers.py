"""The gradient checkers to compare: each takes a case of the bench and returns a verdict on its gradient."""

import importlib.util
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scripts.benchmarks.gradbench.case import (
    function_of,
    gradients_of_variables,
    is_variable,
    variables,
)
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
    return is_variable(leaf) and not jnp.iscomplexobj(leaf)


def is_plain(case: Case) -> bool:
    """Return whether jax.custom_vjp takes all arguments and outputs as they are: real arrays, with nothing stated."""
    leaves = jax.tree.leaves(case.args)
    if case.options or not all(hasattr(leaf, "dtype") and not jnp.iscomplexobj(leaf) for leaf in leaves):
        return False
    return not case.source or all(map(is_float, jax.tree.leaves(jax.eval_shape(case.f, *case.args))))


def check_applicable(case: Case) -> None:
    """Raise NotApplicableError for what the other checkers have no way to state.

    An integer gradient: in a rule, its product with the cotangent is a float. A gradient that is deliberately that of
    another function: the rule of `custom` has the values of f.
    """
    if "instead" in case.options:
        if case.form == "custom":
            raise NotApplicableError("the gradient is deliberately not that of f")
        if "stop_gradient" in getattr(getattr(function_of(case), "__code__", None), "co_names", ()):
            raise NotApplicableError("difference quotients ignore stop_gradient")
    if case.form == "gradient" and is_plain(case):
        grads = jax.eval_shape(backward_of(case), case.args, None)
        if not all(map(is_float, gradients_of_variables(case.args, grads))):
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
    if not is_plain(case):
        return of_variables(case)
    leaves, tree = jax.tree.flatten(case.args)
    floats = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
    if not floats:
        raise NotApplicableError("no floating argument")

    def of(*values: Any) -> Any:
        replaced = dict(zip(floats, values, strict=True))
        return g(*jax.tree.unflatten(tree, [replaced.get(i, leaf) for i, leaf in enumerate(leaves)]))

    return of, [leaves[i] for i in floats]


def symmetric_part(a: Any) -> Any:
    return (a + a.T) / 2


def projection_of(case: Case) -> Callable[..., Any]:
    """Return the map of arguments into the domain that a user of the other checkers must put in front of f."""
    domain = case.options.get("domain")
    maps: dict[Any, Any] = {"symmetric": symmetric_part, "positive definite": symmetric_part}
    if isinstance(domain, str):
        # The others are open sets: near arguments belong to them too.
        own = maps.get(domain, lambda a: a)
        return lambda *args: tuple(own(a) if is_variable(a) else a for a in args)
    if isinstance(domain, dict):
        names = list(inspect.signature(case.f).parameters)
        place = {names.index(name): kind if callable(kind) else maps.get(kind) for name, kind in domain.items()}
        return lambda *args: tuple(place[i](a) if place.get(i) else a for i, a in enumerate(args))
    return domain or (lambda *args: args)


def of_variables(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """Return f with its gradient as a rule of the floating and complex leaves only, after the projection.

    All else among the arguments is closed over, and integer outputs are left out, as users of the other checkers must
    do by hand.
    """
    values, rebuilt = variables(case.args)
    f, backward, project = function_of(case), backward_of(case), projection_of(case)
    if case.form == "custom":
        g = lambda *own: case.manual(*rebuilt(own))  # noqa: E731
    else:
        g = jax.custom_vjp(lambda *own: f(*rebuilt(own)))
        g.defvjp(
            lambda *own: (f(*rebuilt(own)), own),
            lambda own, dy: tuple(gradients_of_variables(rebuilt(own), backward(rebuilt(own), dy))),
        )

    def of(*own: Any) -> Any:
        inside = variables(project(*rebuilt(own)))[0]
        return [leaf for leaf in jax.tree.leaves(g(*inside)) if is_variable(leaf)]

    return of, [jnp.asarray(value) for value in values]


def by_jaxnn(case: Case) -> Verdict:
    from jaxnn import gradcheck

    manual = {"rule": case.manual}.get(case.form, (case.manual,))
    functions = (*manual, case.f) if case.form == "custom" else (case.f, *manual)
    report = getattr(gradcheck, case.form)(*functions, *case.args, **case.options)
    return Verdict(bool(report), tuple(dict.fromkeys(d.kind for d in report.diagnoses)))


def asserting(check: Callable[..., None]) -> Callable[[Case], Verdict]:
    """Return the checker for a `check` that raises AssertionError; errors of jax.custom_vjp count as caught too."""

    def checker(case: Case) -> Verdict:
        check_applicable(case)
        f, values = of_floats(case)
        try:
            check(f, values, **({"rtol": case.options["rtol"]} if "rtol" in case.options else {}))
        except jax.errors.TracerArrayConversionError as error:
            raise NotApplicableError("the gradient is plain NumPy") from error
        except AssertionError as error:
            return Verdict(False, message=str(error))
        except (TypeError, ValueError) as error:
            if "custom_vjp" not in str(error) and "bwd" not in str(error):
                raise
            return Verdict(False, message=str(error))
        return Verdict(True)

    return checker


def check_grads(f: Any, values: list[Any], **tolerance: float) -> None:
    from jax.test_util import check_grads

    check_grads(f, values, order=1, modes=("rev",), **tolerance)


def chex_grads(f: Any, values: list[Any], **tolerance: float) -> None:
    import chex

    chex.assert_numerical_grads(f, values, order=1, modes=("rev",), **tolerance)


def as_plain(case: Case) -> Case:
    """Return a case with the same gradient, of float64 arrays alone."""
    wide = [jnp.asarray(value, "float64") for value in variables(case.args)[0]]
    of = of_variables(case)[0]
    tolerance = {name: value for name, value in case.options.items() if name == "rtol"}
    pullback = lambda own, dy: jax.vjp(of, *own)[1](dy)  # noqa: E731
    return case._replace(form="vjp", f=of, manual=pullback, args=tuple(wide), options=tolerance)


def by_torch(case: Case) -> Verdict:
    """Run torch.autograd.gradcheck on f and its backward, through NumPy arrays, in float64."""
    import torch
    from torch.autograd.gradcheck import GradcheckError  # the function torch.autograd.gradcheck hides this module

    check_applicable(case)
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(case.args) if is_variable(leaf)):
        raise NotApplicableError("complex arguments: torch's gradient is the conjugate of JAX's")
    with jax.enable_x64(True):
        if not is_plain(case):
            case = as_plain(case)
        leaves, tree = jax.tree.flatten(case.args)
        leaves = [leaf.astype("float64") if is_float(leaf) else leaf for leaf in leaves]
        floats = [i for i, leaf in enumerate(leaves) if is_float(leaf)]
        if not floats:
            raise NotApplicableError("no floating argument")
        f, backward = jax.jit(case.f), backward_of(case)

        def rebuilt(values: Any) -> Any:
            own = list(leaves)
            for i, value in zip(floats, values, strict=True):
                own[i] = jnp.asarray(value.detach().numpy())
            return jax.tree.unflatten(tree, own)

        shapes = jax.eval_shape(case.f, *rebuilt([torch.tensor(np.array(leaves[i])) for i in floats]))
        out_tree = jax.tree.structure(shapes)
        try:
            jax.eval_shape(backward, jax.tree.unflatten(tree, leaves), shapes)
            backward = jax.jit(backward)
        except jax.errors.TracerArrayConversionError:
            pass  # plain NumPy

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
                grads = gradients_of_variables(args, backward(args, dy))
                return tuple(torch.tensor(np.array(grad, float)) for grad in grads)

        values = [torch.tensor(np.array(leaves[i]), requires_grad=True) for i in floats]
        if sum(value.numel() for value in values) > 1000:
            raise NotApplicableError("a numerical Jacobian with respect to more than 1000 numbers")
        try:
            torch.autograd.gradcheck(Pair.apply, values, rtol=max(1e-3, case.options.get("rtol", 0)))
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
