"""A gradient checker for any JAX function: it finds wrong gradients, and says what is wrong with them.

A stated gradient is held against three witnesses, so that none has to be trusted alone: autodiff of the plain
function, difference quotients in float64, and the order of the Taylor remainder. It is looked at element by element, at
the arguments given and at others made from them, in four precisions, under `jit`, `vmap` and `scan`.

    report = gradcheck.vjp(f, backward, x, W)
    print(report)              # what is right, what is wrong, and why
    report.raise_if_failed()
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.gradcheck.checker import check
from jaxnn.gradcheck.comparison import Row
from jaxnn.gradcheck.diagnosis import KINDS
from jaxnn.gradcheck.jaxprs import interpret
from jaxnn.gradcheck.problem import GradcheckError, Problem, argument_names
from jaxnn.gradcheck.report import Diagnosis, Report, WrongGradientError
from jaxnn.losses.loss import Loss
from jaxnn.nn.layer import Layer, check_layers
from jaxnn.regularizers import Regularizer
from jaxnn.typing import Key, Shape
from jaxnn.validation import check_callable, check_flag, check_key, check_seed, check_shape, described, is_count

__all__ = [
    "KINDS",
    "Diagnosis",
    "GradcheckError",
    "Report",
    "Row",
    "WrongGradientError",
    "custom",
    "gradient",
    "layer",
    "loss",
    "regularizer",
    "rule",
    "vjp",
    "without_rules",
]


def gradient(f: Callable[..., Any], grad_f: Callable[..., Any], *args: Any, **options: Any) -> Report:
    """Check the hand-written gradient of a scalar function.

    At a kink, where there is none, any slope between those on its sides is right: that of max(x, 0) at 0 may be 0, 1 or
    JAX's 1/2, and a note says what was taken. (A backward or a rule, `vjp`, `rule` and `custom`, stands for JAX's own
    derivative, and must take what that takes.)

    Args:
      f: the plain function, `f(*args) -> scalar`.
      grad_f: `grad_f(*args)` -> a tuple with the gradient for each argument, `None` for an integer one; for a single
        argument, the gradient itself will do.
      *args: pytrees of arrays, of any shapes.
      **options: `fast`, `seed` and `batch`, as for `vjp`.

    Returns:
      A `Report`, true when the gradient is right.

    Raises:
      GradcheckError: the question cannot be asked.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([1.0, -2.0, 3.0])
      >>> bool(gradient(lambda x: (x**2).sum(), lambda x: 2 * x, x))
      True
      >>> report = gradient(lambda x: (x**2).mean(), lambda x: 2 * x, x)
      >>> report.passed, report.diagnoses[0].kind
      (False, 'missing 1/m')
    """
    return _gradient(f, grad_f, args, options, subgradient=True)


def _gradient(f: Any, grad_f: Any, args: tuple[Any, ...], options: dict[str, Any], subgradient: bool) -> Report:
    def hand(args, dy):
        returned = grad_f(*args)
        if len(args) == 1 and not (isinstance(returned, tuple) and len(returned) == 1):
            returned = (returned,)
        if not isinstance(returned, tuple | list):
            return returned
        return tuple(jax.tree.map(partial(_times, dy), entry) for entry in returned)

    return _check(f"gradient of {_name(f)}", f, hand, args, options, scalar=True, subgradient=subgradient)


def vjp(f: Callable[..., Any], backward: Callable[..., Any], *args: Any, **options: Any) -> Report:
    """Check a hand-written backward: a vector-Jacobian product.

    Args:
      f: the plain function, `f(*args) -> y`, y a pytree of floating arrays.
      backward: `backward(args, dy)` -> a tuple with the cotangent of each argument, `None` for an integer one.
      *args: pytrees of arrays, of any shapes.
      **options:
        fast: the given arguments only, in float64 and in their own precision; False by default.
        seed: of all that is random in the check; the same seed gives the same report; 0 by default.
        batch: the size of the batch axis, where it is not to be found by what f accepts.

    Returns:
      A `Report`, true when the backward is right.

    Raises:
      GradcheckError: the question cannot be asked: f or the backward is not pure, f is not differentiable or carries
        a derivative rule of its own, arguments are not finite, the structure of what the backward returns does
        not match, or it raises.

    Example:
      >>> import jax.numpy as jnp
      >>> f = lambda x, W: jnp.tanh(x @ W)
      >>> def backward(args, dy):
      ...     x, W = args
      ...     dz = dy * (1 - jnp.tanh(x @ W) ** 2)
      ...     return dz @ W.T, x.T @ dz
      >>> bool(vjp(f, backward, jnp.ones((4, 3)), 0.1 * jnp.ones((3, 2))))
      True
    """
    return _check(f"vjp of {_name(f)}", f, backward, args, options)


def rule(f: Callable[..., Any], fwd: Callable[..., Any], bwd: Callable[..., Any], *args: Any, **options: Any) -> Report:
    """Check the pair that a `jax.custom_vjp` is made of, before it is made.

    Args:
      f: the plain function, `f(*args) -> y`.
      fwd: `fwd(*args) -> (y, residuals)`; its y must be f's.
      bwd: `bwd(residuals, dy)` -> a tuple with the cotangent of each argument; `None` stands for zeros.
      *args: pytrees of arrays, of any shapes.
      **options: `fast`, `seed` and `batch`, as for `vjp`.

    Returns:
      A `Report`, true when the pair is right.

    Raises:
      GradcheckError: the question cannot be asked.

    Example:
      >>> import jax.numpy as jnp
      >>> fwd = lambda x: (jnp.exp(x), jnp.exp(x))
      >>> bool(rule(jnp.exp, fwd, lambda y, dy: (y * dy,), jnp.array([0.5, -1.0])))
      True
    """

    def hand(args, dy):
        return bwd(fwd(*args)[1], dy)

    return _check(f"rule of {_name(f)}", f, hand, args, options, value=lambda *args: fwd(*args)[0])


def custom(f_with_rule: Callable[..., Any], f_plain: Callable[..., Any], *args: Any, **options: Any) -> Report:
    """Check a `jax.custom_vjp` or `jax.custom_jvp` function against its plain twin.

    Args:
      f_with_rule: the decorated function.
      f_plain: the same function without the rule. (Of a `jax.custom_vjp` object, `f.fun` is that.)
      *args: pytrees of arrays, of any shapes.
      **options: `fast`, `seed` and `batch`, as for `vjp`.

    Returns:
      A `Report`, true when the rule is right.

    Raises:
      GradcheckError: the question cannot be asked; among others, because f_plain carries a rule too.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> @jax.custom_vjp
      ... def square(x):
      ...     return x * x
      >>> square.defvjp(lambda x: (x * x, x), lambda x, dy: (3 * x * dy,))
      >>> report = custom(square, lambda x: x * x, jnp.array([1.0, 2.0]))
      >>> print(report.diagnoses[0].text)
      it is 1.5 times the gradient everywhere
    """

    def hand(args, dy):
        floating = [i for i, arg in enumerate(args) if _is_floating(arg)]

        def of_floating(*chosen):
            full = list(args)
            for i, arg in zip(floating, chosen, strict=True):
                full[i] = arg
            return f_with_rule(*full)

        found = dict(zip(floating, jax.vjp(of_floating, *(args[i] for i in floating))[1](dy), strict=True))
        return tuple(found.get(i) for i in range(len(args)))

    return _check(f"rule of {_name(f_with_rule)}", f_plain, hand, args, options, value=f_with_rule)


def layer(layer: Layer, in_shape: Shape, *, key: Key | None = None, m: int = 5, **options: Any) -> Report:
    """Check a jaxnn `Layer`: its backward against its plain forward.

    Args:
      layer: the `Layer`.
      in_shape: the shape of one example, as `layer.init` takes it.
      key: a random key for the forward (a scalar), for layers that are random; none by default.
      m: the batch size.
      **options: `fast` and `seed`, as for `vjp`.

    Returns:
      A `Report`.

    Raises:
      GradcheckError: the question cannot be asked.

    Example:
      >>> import jaxnn
      >>> bool(layer(jaxnn.dense(3), (4,)))
      True
    """
    _asking(check_layers, "gradcheck.layer", (layer,))
    _asking(check_shape, in_shape)
    if not is_count(m):
        raise GradcheckError(f"m is {described(m)}, expected a whole number of at least 1 example")
    if key is not None:
        _asking(check_key, key)
    _check_options(options)
    rng = np.random.default_rng(options.get("seed", 0))
    like = jax.eval_shape(lambda: layer.init(jax.random.key(0), tuple(in_shape))[0])
    params = jax.tree.map(lambda leaf: (rng.normal(size=leaf.shape) / 2).astype(leaf.dtype), like)
    x = rng.normal(size=(m, *in_shape)).astype(jnp.result_type(float))

    def forward(params, x):
        return layer.forward(params, x, key)[0]

    def hand(args, dy):
        return layer.backward(args[0], layer.forward(*args, key)[1], dy)

    return _check("layer", forward, hand, (params, x), {"batch": m, **options})


def loss(loss: Loss, z: Any, y: Any, **options: Any) -> Report:
    """Check a jaxnn `Loss`: its gradient by the outputs z against its value.

    Args:
      loss: the `Loss`.
      z: outputs, (m, k) or (m,).
      y: targets for them, (m,) or (m, k).
      **options: `fast` and `seed`, as for `vjp`.

    Returns:
      A `Report`.

    Raises:
      GradcheckError: the question cannot be asked.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> bool(loss(jaxnn.squared_error(), jnp.array([1.0, -2.0, 0.5]), jnp.array([0.0, 1.0, 0.3])))
      True
    """
    if not isinstance(loss, Loss):
        raise GradcheckError(f"loss is {described(loss)}, expected a jaxnn.Loss: squared_error() makes one")
    z, y = (a if hasattr(a, "dtype") else jnp.asarray(a) for a in (z, y))

    def hand(args, dy):
        gradient = loss.gradient(*args)
        return gradient * dy.reshape(-1, *[1] * (gradient.ndim - 1)), None

    return _check("loss", lambda z, y: loss.value(z, y), hand, (z, y), options, asked=(True, False))


def regularizer(regularizer: Regularizer, params: Any, **options: Any) -> Report:
    """Check a jaxnn `Regularizer`: its gradient against its value.

    Args:
      regularizer: the `Regularizer`.
      params: params to check it at, a pytree of arrays.
      **options: `fast` and `seed`, as for `vjp`.

    Returns:
      A `Report`.

    Raises:
      GradcheckError: the question cannot be asked.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> bool(regularizer(jaxnn.l2(0.1), {"W": jnp.array([[1.0, -2.0]]), "b": jnp.array([3.0])}))
      True
    """
    if not isinstance(regularizer, Regularizer):
        raise GradcheckError(
            f"regularizer is {described(regularizer)}, expected a jaxnn.regularizers.Regularizer: l2(0.1) makes one"
        )
    return _gradient(
        regularizer.value, lambda params: (regularizer.gradient(params),), (params,), options, subgradient=False
    )


def without_rules(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function without the `jax.custom_vjp` and `jax.custom_jvp` rules inside it.

    Args:
      f: any traceable function of pytrees of arrays, of any shapes.

    Returns:
      A function with f's values, which JAX differentiates by itself, down to its own primitives. Rules inside a
      loop or a branch (`scan`, `while`, `cond`) stay.

    Example:
      >>> import jax
      >>> float(jax.grad(without_rules(jax.nn.relu))(2.0))
      1.0
    """

    def plain(*args):
        closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
        outputs = interpret(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return plain


def _check(title, f, hand, args, options, **claims) -> Report:
    _check_options(options)
    if not args:
        raise GradcheckError(f"{title}: there are no arguments to differentiate by: pass them after the functions")
    _asking(check_callable, "f", f, *argument_names(f, len(args)))
    return check(Problem(title, f, hand, args, argument_names(f, len(args)), **claims), **options)


def _check_options(options: dict[str, Any]) -> None:
    unknown = set(options) - {"fast", "seed", "batch"}
    if unknown:
        raise GradcheckError(f"unknown options {sorted(unknown)}: expected fast, seed or batch")
    _asking(check_flag, "fast", options.get("fast", False))
    _asking(check_seed, options.get("seed", 0))
    if options.get("batch") is not None and not is_count(options["batch"]):
        raise GradcheckError(f"batch is {described(options['batch'])}, expected a whole number of at least 1 example")


def _asking(check: Callable[..., None], *given: Any) -> None:
    """A check of an argument, which raises the checker's own error."""
    try:
        check(*given)
    except ValueError as error:
        raise GradcheckError(str(error)) from None


def _times(dy: Any, g: Any) -> Any:
    # The cotangent of a scalar function is 1, so what has no dtype of its own yet may be left as it is.
    weak = isinstance(g, int | float | np.integer) or getattr(g, "weak_type", False)
    return g if weak else g * dy.astype(jnp.result_type(g))


def _is_floating(arg: Any) -> bool:
    leaves = jax.tree.leaves(arg)
    return bool(leaves) and all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves)


def _name(f: Callable[..., Any]) -> str:
    name = getattr(f, "__name__", None) or type(f).__name__
    return "the function" if name == "<lambda>" else name
