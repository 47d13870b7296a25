"""The oracle of graphs: values from running the jaxpr, and derivatives from `jax.grad` of it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxnn import graph
from jaxnn.jaxprs import scan_sizes

ENTERED = {"jit", "remat2", "checkpoint", "closed_call"}


def run(closed, args, added):
    """The outputs of a jaxpr, and those of each equation, with `added[i]` added to the i-th of them.

    The derivative with respect to `added` at zero is that with respect to the equations' outputs. Equations that depend
    on no argument, which the graph folds into constants, are run but not counted; nor are names and conversions of a
    dtype to itself, which compute nothing: JAX drops these when it traces the steps of a scan again. The equations of
    calls and of the steps of a scan are counted one by one, and after the steps what the scan stacks.
    """
    computed = []

    def counted(primitive, out):
        if added is not None and jnp.issubdtype(out.dtype, jnp.inexact):
            out = out + added[len(computed)]
        computed.append((primitive, out))
        return out

    def walk(closed, args):
        """The outputs, each with whether it depends on an argument, from such pairs."""
        values = dict(zip(closed.jaxpr.invars, args, strict=True))
        values.update((v, (const, False)) for v, const in zip(closed.jaxpr.constvars, closed.consts, strict=True))

        def read(v):
            return (v.val, False) if isinstance(v, core.Literal) else values[v]

        for equation in closed.jaxpr.eqns:
            inputs, primitive = [read(v) for v in equation.invars], equation.primitive
            if primitive.name in ENTERED:
                inner = equation.params["jaxpr"]
                outputs = walk(inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ()), inputs)
            elif primitive.name == "scan":
                outputs = walk_scan(equation, inputs)
            else:
                depends = any(depends for _, depends in inputs)
                outputs = primitive.bind(*(x for x, _ in inputs), **primitive.get_bind_params(equation.params))
                outputs = list(outputs) if primitive.multiple_results else [outputs]
                if depends and not computes_nothing(primitive, [x for x, _ in inputs], outputs):
                    outputs = [counted(primitive, out) for out in outputs]
                outputs = [(out, depends) for out in outputs]
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(v) for v in closed.jaxpr.outvars]

    def walk_scan(equation, inputs):
        length, (n_consts, n_carry) = equation.params["length"], scan_sizes(equation)
        consts, carry, xs = inputs[:n_consts], inputs[n_consts:][:n_carry], inputs[n_consts + n_carry :]
        steps = range(length)[::-1] if equation.params["reverse"] else range(length)
        ys = {}
        for i in steps:
            outputs = walk(equation.params["jaxpr"], [*consts, *carry, *((x[i], depends) for x, depends in xs)])
            carry, ys[i] = outputs[:n_carry], outputs[n_carry:]
        stacked = []
        for of_steps in zip(*(ys[i] for i in range(length)), strict=True):
            y, depends = jnp.stack([y for y, _ in of_steps]), any(depends for _, depends in of_steps)
            stacked.append((counted(equation.primitive, y) if depends else y, depends))
        return [*carry, *stacked]

    return [out for out, _ in walk(closed, [(arg, True) for arg in args])], computed


def values_and_derivatives(f, args, cotangent):
    """The value of every primitive's outputs, and the derivatives with respect to them and to the arguments."""
    leaves, tree = jax.tree.flatten(args)
    closed = jax.make_jaxpr(lambda *leaves: f(*jax.tree.unflatten(tree, leaves)))(*leaves)
    primitives = []

    def values(*leaves):
        computed = run(closed, leaves, None)[1]
        primitives.extend(primitive for primitive, _ in computed)
        return [value for _, value in computed]

    computed = jax.eval_shape(values, *leaves)
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def scalar(added, chosen):
        full = list(leaves)
        for i, leaf in zip(floating, chosen, strict=True):
            full[i] = leaf
        outputs, computed = run(closed, full, added)
        given = jax.tree.leaves(cotangent)
        total = sum((out * ct).sum() for out, ct in zip(outputs, given, strict=True) if ct is not None)
        return total.real, [value for _, value in computed]

    inexact = (jnp.issubdtype(value.dtype, jnp.inexact) for value in computed)
    added = [np.zeros(value.shape, value.dtype) if ok else 0.0 for value, ok in zip(computed, inexact, strict=True)]
    grad = jax.jit(jax.grad(scalar, (0, 1), has_aux=True))
    (by_added, by_leaf), found = grad(added, [jnp.asarray(leaves[i]) for i in floating])
    return [*zip(primitives, found, strict=True)], by_added, dict(zip(floating, by_leaf, strict=True))


def wide(a):
    array = np.asarray(a)
    return array.astype(complex if array.dtype.kind == "c" else float)


def equal(a, b, tol=1e-5):
    a, b = wide(a), wide(b)
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=1.0))
    np.testing.assert_allclose(a, b, rtol=tol, atol=tol * largest)


def check(f, *args, cotangent=None, tol=1e-5):
    """Compare every value and every derivative of the graph with the oracle's; return the graph."""
    g = graph.trace(f, cotangent=cotangent)(*args)
    expected = jax.tree.leaves(f(*args))
    for node, out in zip(g.outputs, expected, strict=True):
        assert node.shape == out.shape
        assert node.dtype == out.dtype
        equal(node.value, out, tol)
    computed, by_added, by_leaf = values_and_derivatives(f, args, 1.0 if cotangent is None else cotangent)
    for i, node in enumerate(g.arguments):
        assert (node.derivative is None) == (i not in by_leaf)
        if i in by_leaf:
            equal(node.derivative, by_leaf[i], tol)
    # The graph has the same operations in the same order, and so the same results, of which several may be equal.
    results = [*results_of(g.operations)]
    assert [primitive for primitive, _ in results] == [primitive for primitive, _ in computed]
    for (_, node), (_, value), derivative in zip(results, computed, by_added, strict=True):
        if not jnp.issubdtype(node.dtype, jax.dtypes.extended):
            equal(node.value, value, tol)
        if node.inexact:
            equal(node.derivative, derivative, tol)
    return g


def results_of(operations):
    """The results of operations that are equations of the oracle, each with its primitive: see `run`.

    The oracle has the equations of calls, of a `vmap` and of a scan's steps, but loops of unknown length, branches and
    rules as a whole.
    """
    for op in operations:
        if op.primitive.name in {*ENTERED, "vmap"}:
            yield from results_of(op.body)
        elif op.primitive.name == "scan":
            for step in op.body:
                if step.name == "step":
                    yield from results_of(step.body)
            stacked = {out for step in op.body if step.name != "step" for out in step.outputs}
            yield from ((op.primitive, out) for out in op.outputs if out in stacked)
        elif not computes_nothing(op.primitive, [n.value for n in op.inputs], [n.value for n in op.outputs]):
            yield from ((op.primitive, out) for out in op.outputs)


def computes_nothing(primitive, inputs, outputs):
    """Whether it is a name, or a conversion of a dtype to itself, which makes a number of Python's one of JAX."""
    converts = primitive.name == "convert_element_type"
    return primitive.name == "name" or (converts and jnp.result_type(inputs[0]) == jnp.result_type(outputs[0]))
