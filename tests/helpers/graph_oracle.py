"""A graph's values and derivatives once more, by running its jaxpr and by `jax.vjp` of each part."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn import graph

ENTERED = {"jit", "remat2", "checkpoint", "closed_call"}


def run(closed, args, added):
    """The outputs of a jaxpr, and what each equation gave, `added[i]` added to what the i-th equation gives.

    The oracle: it knows nothing of the graph, and autodiff by `added` is that of the function cut there.
    """
    made = []

    def walk(closed, args):
        values = dict(zip(closed.jaxpr.invars, args, strict=True))
        values.update(zip(closed.jaxpr.constvars, closed.consts, strict=True))

        def read(v):
            return v.val if isinstance(v, core.Literal) else values[v]

        for equation in closed.jaxpr.eqns:
            inputs, primitive = [read(v) for v in equation.invars], equation.primitive
            if primitive.name in ENTERED:
                inner = equation.params["jaxpr"]
                outputs = walk(inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ()), inputs)
            else:
                outputs = primitive.bind(*inputs, **primitive.get_bind_params(equation.params))
                outputs = list(outputs) if primitive.multiple_results else [outputs]
                for i, out in enumerate(outputs):
                    if added is not None and jnp.issubdtype(out.dtype, jnp.inexact):
                        outputs[i] = out + added[len(made)]
                    made.append((primitive, outputs[i]))
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(v) for v in closed.jaxpr.outvars]

    return walk(closed, args), made


def cut_everywhere(f, args, cotangent):
    """For every primitive in turn, its outputs' values, and autodiff of the function cut there; by arguments too."""
    leaves, tree = jax.tree.flatten(args)
    closed = jax.make_jaxpr(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)))(*leaves)
    primitives = []

    def values(*leaves):
        made = run(closed, leaves, None)[1]
        primitives.extend(primitive for primitive, _ in made)
        return [value for _, value in made]

    made = jax.eval_shape(values, *leaves)
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def scalar(added, chosen):
        full = list(leaves)
        for i, leaf in zip(floating, chosen, strict=True):
            full[i] = leaf
        outputs, made = run(closed, full, added)
        given = jax.tree.leaves(cotangent)
        total = sum((out * ct).sum() for out, ct in zip(outputs, given, strict=True) if ct is not None)
        return total.real, [value for _, value in made]

    inexact = (jnp.issubdtype(value.dtype, jnp.inexact) for value in made)
    added = [np.zeros(value.shape, value.dtype) if ok else 0.0 for value, ok in zip(made, inexact, strict=True)]
    grad = jax.jit(jax.grad(scalar, (0, 1), has_aux=True))
    (by_added, by_leaf), found = grad(added, [jnp.asarray(leaves[i]) for i in floating])
    return [*zip(primitives, found, strict=True)], by_added, dict(zip(floating, by_leaf, strict=True))


def wide(a):
    array = np.asarray(a)
    return array.astype(complex if array.dtype.kind == "c" else float)


def equal(a, b, tol=1e-5):
    a, b = wide(a), wide(b)
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol * max(1.0, float(np.abs(b).max(initial=0.0))))


def check(f, *args, cotangent=None, tol=1e-5):
    """Every value and every derivative of the graph is the oracle's; the graph."""
    g = graph.trace(f, cotangent=cotangent)(*args)
    expected = jax.tree.leaves(f(*args))
    for node, out in zip(g.outputs, expected, strict=True):
        assert node.shape == out.shape
        assert node.dtype == out.dtype
        equal(node.value, out, tol)
    made, by_added, by_leaf = cut_everywhere(f, args, 1.0 if cotangent is None else cotangent)
    for i, node in enumerate(g.arguments):
        assert (node.derivative is None) == (i not in by_leaf)
        if i in by_leaf:
            equal(node.derivative, by_leaf[i], tol)
    # What was folded into constants is not among the graph's operations; the others are, in the same order.
    found, compared = iter([*zip(made, by_added, strict=True)]), 0
    steps = [(op, out) for op in at_rules(g.operations) for out in op.outputs]
    for op, out in steps:
        derivative = next(by for (primitive, value), by in found if primitive is op.primitive and same(out, value, tol))
        if out.inexact:
            equal(out.derivative, derivative, tol)
            compared += 1
    assert compared or not steps
    return g


def same(node, value, tol):
    """Whether a node's value is this one, up to rounding."""
    if jnp.issubdtype(node.dtype, jax.dtypes.extended) or node.shape != np.shape(value):
        return node.shape == np.shape(value)
    a, b = wide(node.value), wide(value)
    return np.allclose(a, b, rtol=tol, atol=tol * max(1.0, float(np.abs(b).max(initial=0.0))), equal_nan=True)


def at_rules(operations):
    """The operations that the oracle sees: those of boxes without a rule, and loops, branches and rules as a whole."""
    for op in operations:
        if op.primitive.name in {*ENTERED, "vmap"}:  # of a vmap, the equations are all there is
            yield from at_rules(op.body)
        else:
            yield op
