"""Train in the row space of the data: fewer numbers for a wide first layer, and the same iterates."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.arrays import check_finite, promote_large_integers
from jaxnn.constraints import Nothing, ParamsTree, checked
from jaxnn.data.batches import Batch
from jaxnn.data.examples import check_batch, on_host
from jaxnn.data.weights import counted
from jaxnn.optim.interface import OPTIMIZER, promoting
from jaxnn.optim.layout import laid_out
from jaxnn.train.arguments import WithStatistics, check_not_inside, check_not_traced, takes_statistics
from jaxnn.train.fitting import Fit, fit
from jaxnn.train.objectives import OBJECTIVE, Objective
from jaxnn.typing import Array, ArrayLike, Key, Params
from jaxnn.validation import described


class RowSpace(NamedTuple):
    """An orthonormal basis of the row space of examples.

    Attributes:
      basis: Q, (r, n_in), with orthonormal rows, r the rank of the examples.
    """

    basis: np.ndarray

    def project(self, W: Array) -> np.ndarray:
        """Return coordinates (n_out, r + 1) of weights (n_out, n_in); the last is the norm of the orthogonal part."""
        V, orthogonal = self._split(W)
        return np.append(V, np.linalg.norm(orthogonal, axis=1, keepdims=True), axis=1).astype(W.dtype)

    def lift(self, V: Array, start: Array) -> Array:
        """Return the weights (n_out, n_in) of coordinates (n_out, r + 1) that started as `project(start)`."""
        _, orthogonal = self._split(start)
        length = np.linalg.norm(orthogonal, axis=1, keepdims=True)
        direction = np.divide(orthogonal, length, out=np.zeros_like(orthogonal), where=length > 0)
        return _lift(*jax.device_put((V, self.basis, direction.astype(start.dtype)))).astype(start.dtype)

    def _split(self, W: Array) -> tuple[np.ndarray, np.ndarray]:
        rows, basis = np.asarray(W, np.float64), np.asarray(self.basis, np.float64)
        V = rows @ basis.T
        return V, rows - V @ basis


@jax.jit
def _lift(V: Array, basis: Array, direction: Array) -> Array:
    return V[:, :-1] @ basis + V[:, -1:] * direction


def row_space(x: Any) -> tuple[RowSpace, np.ndarray]:
    """Compute the row space of x and the coordinates of its rows: x = R Q, with a column of zeros after R.

    They come from the eigenvectors U of the Gram matrix x xᵀ = U S² Uᵀ, formed in float64: R = U S and Q = S⁻¹ Uᵀ x.
    Singular values that are rounding errors of x's dtype are dropped with their directions, so x may have any rank. For
    x in float64, they come from the singular value decomposition of x, which is slower.

    Args:
      x: examples, (m, n_in), floats.

    Returns:
      A `RowSpace` and coordinates (m, r + 1), in x's dtype.

    Raises:
      ValueError: if x is not examples as rows of floats, an example is not finite, or its length overflows x's dtype.

    Example:
      >>> import numpy as np
      >>> space, coordinates = row_space(np.array([[3.0, 0.0, 4.0], [6.0, 0.0, 8.0]]))
      >>> space.basis.shape, np.abs(coordinates).round(3).tolist()
      ((1, 3), [[5.0, 0.0], [10.0, 0.0]])
    """
    x = np.asarray(on_host("x", x))
    if x.ndim != 2 or x.shape[0] == 0 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x must be examples as rows (m, n_in) of floats, got {described(x)}")
    wide = x.astype(np.float64)
    check_finite("x", wide, ~np.isfinite(wide))
    if x.dtype == np.float64:
        U, S, basis = np.linalg.svd(wide, full_matrices=False)
        kept = max(x.shape) * np.finfo(np.float64).eps * S.max(initial=0.0) < S
        basis = basis[kept]
    else:
        squares, U = np.linalg.eigh(wide @ wide.T)
        S = np.sqrt(np.maximum(squares, 0))
        kept = jnp.finfo(x.dtype).eps * S.max(initial=0.0) < S
        basis = (U[:, kept] / S[kept]).T @ wide
    coordinates = np.append(U[:, kept] * S[kept], np.zeros((len(x), 1)), axis=1)
    if np.abs(coordinates).max() > jnp.finfo(x.dtype).max:
        longest = np.linalg.norm(coordinates, axis=1).max()
        raise ValueError(
            f"x must have examples of norms of at most {jnp.finfo(x.dtype).max:.3g} in {x.dtype}, got {longest:.3g}: "
            "scale the features"
        )
    return RowSpace(basis.astype(x.dtype)), coordinates.astype(x.dtype)


@checked(objective=OBJECTIVE, params=ParamsTree(), optimizer=OPTIMIZER, evaluate=WithStatistics("params") | Nothing())
def fit_in_row_space(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    key: Key,
    epochs: int,
    evaluate: Callable[..., dict[str, Array]] | None = None,
    **options: Any,
) -> Fit:
    """Run `fit` with the same iterates, up to rounding, for a first layer that is dense and wider than the data.

    With m examples of n_in features, m < n_in, a step costs as much as with m features. With more examples than
    features the result is the same, but it is not faster, unless the rank of the examples is small.

    Derivation. The first layer computes z = x Wᵀ + b. Its gradient, dW = dzᵀ x, is in the row space of x, as is that of
    any batch, so gradient descent changes W only within it. Take an orthonormal basis Q of the row space, (r, n_in):
    x = R Q with R = x Qᵀ, and w = v Q + u for each row w of W, u orthogonal to the row space. Then

        z = x wᵀ = R Q (v Q + u)ᵀ = R vᵀ        since Q Qᵀ = 1 and Q uᵀ = 0
        dw Qᵀ = (dzᵀ x) Qᵀ = dzᵀ R = dv         so the gradient with respect to v is that of w, in coordinates
        |w|² = |v|² + |u|²                      so L2 penalizes v and the length of u, which it shrinks equally

    That is a network of the same layers on the data R, with weights v, and one more weight |u| whose feature is always
    0. The map from w to (v, |u|) is a rotation. An optimizer whose update rotates with its gradient therefore makes
    the same steps on both: gradient descent, momentum, Nesterov's, schedules of their rates, weight decay, clipping by
    the global norm. Adam and similar optimizers scale each coordinate separately, so they are rejected, as is a
    regularizer that depends on the coordinates, such as L1.

    Args:
      objective: the objective to minimize, of a network whose first layer is dense.
      optimizer: an optax optimizer whose update rotates with its gradient.
      params: the initial params: a tuple, as of `chain`, whose first entry is {"W": (n_out, n_in), "b": (n_out,)}.
      x: inputs, (m, n_in), floats.
      y: targets, (m,) or (m, k).
      key: a random key, for shuffling and dropout.
      epochs: passes over the data, at least 1.
      evaluate: as in `fit`; it gets params of full size, at the cost of (n_out, r) times (r, n_in) for each report.
      **options: of `fit`.

    Returns:
      A `Fit` whose params are of full size. Its state is that of the training in the row space.

    Raises:
      ValueError: if the first layer is not dense on the features of x, the optimizer or a regularizer depends on the
        coordinates, or under the conditions of `fit`.

    Example:
      >>> import jax, jaxnn, numpy as np, optax
      >>> x = np.random.default_rng(0).normal(size=(6, 500)).astype(np.float32)
      >>> y = np.array([0, 1, 0, 1, 0, 1])
      >>> model = jaxnn.logistic_regression(500)
      >>> objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(0.1))
      >>> start, key = model.init(jax.random.key(0)), jax.random.key(1)
      >>> short = fit_in_row_space(objective, optax.sgd(0.01), start, x, y, key=key, epochs=50)
      >>> long = jaxnn.fit(objective, optax.sgd(0.01), start, x, y, key=key, epochs=50)
      >>> bool(abs(short.params[0]["W"] - long.params[0]["W"]).max() < 1e-6)
      True

    Source: the representer theorem (Kimeldorf and Wahba 1971; Schölkopf, Herbrich and Smola 2001), here for every
    iterate of gradient descent.
    """
    check_not_inside("fit_in_row_space", params, key)
    data, params = check_batch(x, y, options.get("weight")), jax.tree.map(promote_large_integers, params)
    x = np.asarray(data.x)
    W = _first_weights(params, x)
    objective.check(params, data)
    _check_rotation_equivariant(objective, optimizer, params, data)
    space, coordinates = row_space(x)

    def full(small):
        return (dict(small[0], W=space.lift(small[0]["W"], W)), *small[1:])

    small = (dict(params[0], W=space.project(W)), *params[1:])
    measure = None if evaluate is None else _at_full_size(evaluate, full)
    result = fit(objective, optimizer, small, coordinates, data.y, key=key, epochs=epochs, evaluate=measure, **options)
    return result._replace(params=full(result.params))


def _at_full_size(evaluate: Callable[..., Any], full: Callable[[Params], Params]) -> Callable[..., Any]:
    if takes_statistics(evaluate):
        return lambda small, stats: evaluate(full(small), stats)
    return lambda small: evaluate(full(small))


def _first_weights(params: Params, x: np.ndarray) -> Array:
    first = params[0] if isinstance(params, tuple) and params else None
    W = first.get("W") if isinstance(first, dict) else None
    if W is None or x.ndim != 2 or jnp.shape(W)[-1:] != x.shape[1:] or jnp.ndim(W) != 2:
        raise ValueError(
            "params must start with those of a dense layer, {'W': (n_out, n_in), 'b': (n_out,)}, and x be (m, n_in), "
            f"got {type(first).__name__} with W {None if W is None else jnp.shape(W)} and x {x.shape}"
        )
    return W


def _check_rotation_equivariant(
    objective: Objective, optimizer: optax.GradientTransformation, params: Params, data: Batch
) -> None:
    """Raise ValueError unless the objective is invariant and the optimizer equivariant under rotations, by a trial.

    An isometry maps inputs of 3 features, and the weights, to a space of 5: the objective must stay the same, and
    updates must be mapped too, for small and large gradients, so that thresholds are crossed.
    """
    rng = np.random.default_rng(0)
    isometry = np.linalg.qr(rng.normal(size=(5, 3)))[0].T
    W = jnp.asarray(params[0]["W"])
    start = rng.normal(size=(W.shape[0], 3))
    x = rng.normal(size=(min(len(data.x), 2), 3))
    y = promote_large_integers(np.asarray(counted(data.y, data.weight)[: len(x)]))
    # With more units than features, so that a step length that depends on the shape of weights, as Muon's, shows.
    w, *gradients = rng.normal(size=(4, 7, 3))

    def objective_at(start, x):
        # In half precision the two values would differ by rounding.
        batch = Batch(x.astype(jnp.promote_types(jax.dtypes.canonicalize_dtype(data.x.dtype), jnp.float32)), y)
        params_at = (dict(params[0], W=start.astype(W.dtype)), *params[1:])
        return objective.value(params_at, batch, jax.random.key(0))[0]

    def updates_at(start, gradients, scale):
        params = {"W": start.astype(W.dtype)}
        transformation: Any = laid_out(optimizer, params)
        state, total = transformation.init(params), jnp.zeros_like(params["W"])
        for gradient in gradients:
            with promoting():
                updates, state = transformation.update({"W": (scale * gradient).astype(W.dtype)}, state, params)
                params, total = optax.apply_updates(params, updates), total + updates["W"]
        return total

    # It runs once, so compile time matters.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(start, x, w, gradients):
        scales = jnp.array([1e-4, 1.0, 1e4])
        updates = [
            jax.vmap(lambda scale, carry=carry: updates_at(carry(w), [carry(g) for g in gradients], scale))(scales)
            for carry in (lambda w: w, lambda w: w @ isometry)
        ]
        return [objective_at(start, x), objective_at(start @ isometry, x @ isometry)], updates

    try:
        values, (few, many) = both(*jax.device_put((start, x, w, gradients)))
        check_not_traced("fit_in_row_space", values, few, many)
        values, few, many = jax.device_get((values, few, many))
    except TypeError:  # an optimizer with a line search needs more than the gradient
        values, few, many = (0, 0), np.ones((1, 1, 3)), np.zeros((1, 1, 5))
    if not np.isclose(*values, rtol=1e-5):
        raise ValueError(
            "objective must be invariant under rotations of the first layer's weights, got one that depends on "
            "coordinates, such as an L1 regularizer: use fit or jaxnn.l2"
        )
    few, many = few.astype(np.float64), many.astype(np.float64)
    off = np.linalg.norm(few @ isometry - many, axis=(1, 2))
    if not (off <= 1e-3 * np.linalg.norm(many, axis=(1, 2))).all():
        raise ValueError(
            "optimizer must be equivariant under rotations, such as sgd with momentum, got one that depends on "
            "coordinates, such as Adam: use fit or sgd"
        )
