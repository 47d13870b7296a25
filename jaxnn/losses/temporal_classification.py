"""Connectionist temporal classification: labels of a sequence without their places in time.

`ctc_value` defines paths and the recursion that sums them, `ctc_gradient` derives the gradient from it. All is computed
in logarithms, in float32 at least.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn.arrays import floats, widened
from jaxnn.constraints import Constraint, Count, Flag, checked
from jaxnn.explicit_axes import rows_on_any_axes
from jaxnn.factories.decorator import factory
from jaxnn.losses.loss import Loss
from jaxnn.sequences import Sequences, array_of, cotangent_with_lengths, on_host, split_lengths, within, zero_beyond
from jaxnn.typing import Array, PyTree

__all__ = ["ctc", "ctc_gradient", "ctc_value"]

_NEVER = -1e30
"""The logarithm of probability 0: finite, so that differences of two are no NaN."""

_LOGITS = Constraint(
    "logits (m, T, k) of floats, or Sequences of them",
    rejects=(None, 3, np.zeros(2), np.zeros((2, 3))),
    test=lambda z: getattr(array_of(z), "ndim", 0) == 3,
)
_LABELS = Constraint(
    "class numbers (m, U) of an integer dtype, or Sequences of them",
    rejects=(None, 3, np.zeros((2, 3)), np.zeros(2, int)),
    test=lambda y: getattr(array_of(y), "ndim", 0) == 2 and jnp.issubdtype(array_of(y).dtype, jnp.integer),
)


def _as_floats(z: Any) -> Any:
    """Return logits as floats, if they are whole numbers."""
    return z._replace(x=floats(z.x, "z")) if isinstance(z, Sequences) else floats(z, "z")


@rows_on_any_axes
@checked(z=_LOGITS, y=_LABELS)
def ctc_value(z: PyTree, y: PyTree, blank: int = 0) -> Array:
    """Compute -log p(y), p(y) the sum of the probabilities of all paths that give the labels y.

    For one sequence: at each time t = 1, ..., T the logits z_t give each class j the probability p_t(j), with
    p_t = softmax(z_t). A path π has one class π_t for each time, and the probability Π_t p_t(π_t). One class,
    the blank, stands for no label. A path gives the labels that remain if runs of one class are first merged, and then
    the blanks are removed: with - for the blank, a a - a b gives a, a, b.

    Let l' be the labels y_1, ..., y_U with a blank before, between and after them, l' = (-, y_1, -, y_2, ..., y_U, -),
    of S = 2 U + 1 places. A path that gives y runs through these places from left to right: from one time to the next
    it stays at its place, moves to the next one, or skips a blank between two different labels. Let α_t(s) be the sum,
    over all ways to be at place s at time t, of their probabilities up to time t, that of time t included. Then

        α_1(1) = p_1(-)    α_1(2) = p_1(y_1)    α_1(s) = 0 for s > 2
        α_t(s) = p_t(l'_s) (α_{t-1}(s) + α_{t-1}(s - 1) + [l'_s is a label, and not that of l'_{s-2}] α_{t-1}(s - 2))
        p(y)   = α_T(S) + α_T(S - 1)

    where [...] is 1 if the statement is true and 0 otherwise, and α is 0 at places that do not exist: a path ends at
    the last blank or at the last label.

    Args:
      z: logits, (m, T, k), or `Sequences` of them.
      y: labels, class numbers other than the blank's, (m, U), or `Sequences` of them.
      blank: the class that stands for no label.

    Returns:
      The loss of each sequence, (m,); infinite if it is too short for its labels: they need one time each, and one more
      between two that are equal.

    Raises:
      ValueError: if z and y do not fit, or lengths are outside of their axes.

    Example:
      Two times and one label give the paths (1, 1), (0, 1) and (1, 0), of a quarter each:

      >>> import jax.numpy as jnp
      >>> print(ctc_value(jnp.zeros((1, 2, 2)), jnp.array([[1]])).round(4), -jnp.log(0.75).round(4))
      [0.2877] 0.2877

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006, equations 5 to 8.
    """
    z = _as_floats(z)
    paths = _paths(z, y, blank)
    ways, total = _ways(paths.emitted, paths.live, paths.start, paths.skips)
    log_p = _log_p(paths, ways[-1], total)
    never = ~paths.possible | (log_p <= _NEVER / 2)  # NaN, of a label beyond the classes, is neither
    return jnp.where(never, jnp.inf, -log_p).astype(array_of(z).dtype)


@rows_on_any_axes
@checked(z=_LOGITS, y=_LABELS)
def ctc_gradient(z: PyTree, y: PyTree, blank: int = 0) -> PyTree:
    """Compute dz_t = p_t - γ_t, γ_t(j) the probability that a path which gives the labels has class j at time t.

    p_t = softmax(z_t), paths, the places s = 1, ..., S of l' and α_t(s) are those of `ctc_value`.

    Derivation. Let β_t(s) be the sum, over all ways from place s at time t to an end, of their probabilities from time
    t on, that of time t included. It is α read from the end, with the places in the order S, ..., 1:

        β_T(S) = p_T(-)    β_T(S - 1) = p_T(y_U)    β_T(s) = 0 for s < S - 1
        β_t(s) = p_t(l'_s) (β_{t+1}(s) + β_{t+1}(s + 1) + [l'_{s+2} is a label, and not that of l'_s] β_{t+1}(s + 2))

    In α_t(s) β_t(s) each way to place s is multiplied by each way on from it, and both contain p_t(l'_s). So the paths
    that are at place s at time t have the probability α_t(s) β_t(s)/p_t(l'_s). Each path that gives y is at one place
    at each time; so at any t, and for the paths that have class j at time t,

        p(y)        = Σ_s α_t(s) β_t(s)/p_t(l'_s)
        p(y) γ_t(j) = Σ_{s: l'_s = j} α_t(s) β_t(s)/p_t(j)     which defines γ_t(j), and Σ_j γ_t(j) = 1

    p(y) is a sum of products with one factor of each time, and p_t(j) is that factor in the paths that have class j at
    time t. So the first line holds, with the slopes of the softmax in the second, and from both the third:

        ∂p(y)/∂p_t(i)        = p(y) γ_t(i)/p_t(i)
        ∂p_t(i)/∂z_t(j)      = p_t(i) ([i = j] - p_t(j))
        ∂(-log p(y))/∂z_t(j) = -Σ_i γ_t(i) ([i = j] - p_t(j)) = p_t(j) - γ_t(j)

    An infinite loss, p(y) = 0, has gradient 0.

    Args:
      z: logits, (m, T, k), or `Sequences` of them.
      y: labels, (m, U), or `Sequences` of them.
      blank: the class that stands for no label.

    Returns:
      dz, in the shape of z, 0 beyond each length.

    Example:
      >>> import jax.numpy as jnp
      >>> print(ctc_gradient(jnp.zeros((1, 1, 2)), jnp.array([[1]]))[0])
      [[ 0.5 -0.5]]

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006, equations 10 to 16.
    """
    z = _as_floats(z)
    logits, lengths = split_lengths(z)
    m, n_steps, k = logits.shape
    paths = _paths(z, y, blank)

    def both(ahead, back):
        return jnp.concatenate([ahead, back], axis=-2)

    # One loop for both directions: β on mirrored places and times, which begins at each sequence's own end.
    ways, totals = _ways(
        both(paths.emitted, paths.emitted[::-1, :, ::-1]),
        jnp.concatenate([paths.live, paths.live[::-1]], axis=1),
        both(paths.start, paths.end[:, ::-1]),
        both(paths.skips, _ahead(paths.skips, 2, False)[:, ::-1]),
    )
    alpha, beta = ways[:, :m], ways[::-1, m:, ::-1]
    possible = paths.possible & (_log_p(paths, alpha[-1], totals[:m]) > _NEVER / 2)
    # α and β are known up to a factor for each time, and over the places of a time the paths sum to p(y).
    through = jax.nn.softmax(alpha + beta - paths.emitted)
    classes = jax.nn.one_hot(paths.classes, k, dtype=through.dtype)
    posterior = jnp.einsum("tms,msk->mtk", through, classes, precision="highest")
    dz = jnp.where(possible[:, None, None], jax.nn.softmax(paths.logits) - posterior, 0)
    dz = zero_beyond(within(lengths, n_steps), dz).astype(logits.dtype)
    return cotangent_with_lengths(dz, lengths)


@factory(computes="ctc_value(z, y)")
@checked(blank=Count(0), skip_impossible=Flag())
def ctc(blank: int = 0, skip_impossible: bool = False) -> Loss:
    """Return the loss of connectionist temporal classification: `ctc_value`; `ctc_gradient` derives its gradient.

    Args:
      blank: the class that stands for no label.
      skip_impossible: whether sequences that are too short for their labels count 0 in the mean. Otherwise data with
        one raise, since its loss is infinite.

    Returns:
      A `Loss` for z of logits (m, T, k), or `Sequences` of them, and y of labels (m, U), or `Sequences` of them, with a
      term for each sequence.

    Raises:
      ValueError: if blank is negative; when data are checked, if a label is the blank or not a class, or, unless they
        are skipped, a sequence is too short.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxnn.nn import Sequences
      >>> y = Sequences(jnp.array([[1, 1], [2, 0]]), jnp.array([2, 1]))
      >>> ctc(skip_impossible=True).counts(jnp.zeros((2, 2, 3)), y)
      Array([0., 1.], dtype=float32)

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006.
    """

    def check(z, y):
        (_, n_steps, k), labels, given = array_of(z).shape, *on_host(y)
        lengths = np.full(len(labels), n_steps)
        if isinstance(z, Sequences) and not isinstance(z.lengths, jax.ShapeDtypeStruct | Tracer):
            lengths = np.asarray(z.lengths)
        wrong = given & ((labels < 0) | (labels >= k) | (labels == blank))
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            raise ValueError(
                f"y must be labels from 0 to {k - 1} other than the blank, {blank}, got {labels[i, j]} in example {i}"
            )
        times = (given.sum(1) + _repeats(labels, given).sum(1)).astype(int)
        too_short = times > lengths
        if not skip_impossible and too_short.any():
            i = int(too_short.argmax())
            raise ValueError(
                f"z must be as long as its labels need, {times[i]} times in example {i}, got {lengths[i]}: omit the "
                "example, or use ctc(skip_impossible=True)"
            )

    def counts(z, y):
        return _paths(_as_floats(z), y, blank).possible.astype(jnp.result_type(float))

    return Loss(
        partial(ctc_value, blank=blank),
        partial(ctc_gradient, blank=blank),
        check,
        counts if skip_impossible else None,
    )


class _Paths(NamedTuple):
    """The ways of a batch through places, S = 2 U + 1, with time first."""

    logits: Array  # (m, T, k), 0 beyond lengths
    classes: Array  # (m, S), l'
    emitted: Array  # (T, m, S), log p_t of l'
    live: Array  # (T, m), whether a time is within the length
    start: Array  # (m, S), before the first time
    end: Array  # (m, S), after the last
    skips: Array  # (m, S), whether a path may come from two places before
    possible: Array  # (m,)


def _paths(z: PyTree, y: PyTree, blank: int) -> _Paths:
    (logits, lengths), (labels, label_lengths) = split_lengths(z), split_lengths(y)
    m, n_steps, _ = logits.shape
    n_labels = labels.shape[1]
    live = within(lengths, n_steps)
    live = jnp.ones((m, n_steps), bool) if live is None else live
    given = within(label_lengths, n_labels)
    given = jnp.ones((m, n_labels), bool) if given is None else given
    logits = widened(zero_beyond(live, logits))
    labels = jnp.where(given, labels.astype("int32"), blank)
    classes = jnp.full((m, 2 * n_labels + 1), blank, "int32").at[:, 1::2].set(labels)
    log_p = jax.nn.log_softmax(logits)
    emitted = jnp.take_along_axis(log_p, jnp.broadcast_to(classes[:, None], (m, n_steps, classes.shape[1])), axis=2)
    n_given, places = given.sum(1), jnp.arange(classes.shape[1])[None]
    possible = live.sum(1) >= n_given + _repeats(labels, given).sum(1)
    skips = (classes != blank) & (classes != _ahead(classes, -2, blank))
    start, end = (
        jnp.where(at, 0.0, _NEVER).astype(logits.dtype) for at in (places == 0, places == 2 * n_given[:, None])
    )
    emitted = jnp.maximum(emitted, _NEVER).swapaxes(0, 1)
    return _Paths(logits, classes, emitted, live.T, jnp.broadcast_to(start, end.shape), end, skips, possible)


def _repeats(labels: Any, given: Any) -> Any:
    """Return which labels equal the one before, (m, U - 1): a blank must be between them."""
    return (labels[:, 1:] == labels[:, :-1]) & given[:, 1:]


def _ways(emitted: Array, live: Array, start: Array, skips: Array) -> tuple[Array, Array]:
    """Return log α after each time, (T, m, S), less its largest at each, and the sum of what was subtracted, (m,).

    Without that, the logarithms of long sequences would be so large that a float32 keeps no digits behind the point.
    """

    def step(carry, at):
        (before, total), (emitted, live) = carry, at
        ways = [before, _ahead(before, -1, _NEVER), jnp.where(skips, _ahead(before, -2, _NEVER), _NEVER)]
        most = jnp.maximum(jnp.maximum(ways[0], ways[1]), ways[2])
        after = jnp.maximum(most + jnp.log(sum(jnp.exp(way - most) for way in ways)) + emitted, _NEVER)
        largest = after.max(axis=-1)
        largest = jax.lax.stop_gradient(jnp.where(live & (largest > _NEVER / 2), largest, 0))
        after = jnp.where(live[:, None], jnp.maximum(after - largest[:, None], _NEVER), before)
        return (after, total + largest), after

    zero = jnp.zeros_like(start[:, 0])
    (_, total), ways = jax.lax.scan(step, (start, zero), (emitted, live))
    return ways, total


def _ahead(a: Array, n: int, fill: Any) -> Array:
    """Return a[..., s + n] at each place s, `fill` outside."""
    filled = jnp.full((*a.shape[:-1], min(abs(n), a.shape[-1])), fill, a.dtype)
    return jnp.concatenate([filled, a[..., :n]] if n < 0 else [a[..., n:], filled], axis=-1)


def _log_p(paths: _Paths, last: Array, total: Array) -> Array:
    """Return log p(y): at the end a path is at the last label, or at the blank after it."""
    at_label = _ahead(paths.end, 1, _NEVER)
    return total + jax.nn.logsumexp(jnp.where((paths.end == 0) | (at_label == 0), last, _NEVER), axis=-1)


def _draw(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
    lengths, of_labels = rng.integers(3, 6, m), rng.integers(0, 3, m)
    z = Sequences(rng.normal(size=(m, 6, 4)), lengths)
    return z, Sequences(rng.integers(1, 4, (m, 2)), of_labels)


CASES = {
    "ctc": (ctc, lambda rng, m: (rng.normal(size=(m, 6, 4)), rng.integers(1, 4, (m, 2)))),
    "ctc_lengths": (ctc, _draw),
    "ctc_blank": (lambda: ctc(3), lambda rng, m: (rng.normal(size=(m, 5, 4)), rng.integers(0, 3, (m, 2)))),
    "ctc_skip_impossible": (
        lambda: ctc(skip_impossible=True),
        lambda rng, m: (rng.normal(size=(m, 2, 4)), np.ones((m, 2), int)),
    ),
}
