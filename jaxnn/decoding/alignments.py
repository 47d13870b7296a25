"""Labels from the outputs of connectionist temporal classification, whose alignment in time is not given.

A path has a class for each time. It gives the labels that are left when repeats are merged and blanks are removed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import floats, widened
from jaxnn.constraints import Constraint, Count, checked
from jaxnn.sequences import Sequences, array_of, split_lengths, within
from jaxnn.typing import Array, PyTree

_NEVER = -1e30
"""The logarithm of probability 0: finite, so that differences of two are no NaN."""

_LOGITS = Constraint(
    "logits (m, T, k) of floats with k >= 1 classes, or Sequences of them",
    rejects=(None, 3, np.zeros(2), np.zeros((2, 3)), np.zeros((2, 3, 0))),
    test=lambda z: getattr(array_of(z), "ndim", 0) == 3 and array_of(z).shape[2] > 0,
)


@checked(z=_LOGITS, blank=Count(0))
def ctc_greedy(z: PyTree, blank: int = 0) -> Sequences:
    """Return the labels of the most probable path: the largest class at each time, repeats merged, blanks removed.

    The most probable path need not give the most probable labels, whose probability is the sum over all their paths:
    `ctc_beam` searches for these. NaN counts as the largest number, as in `jnp.argmax`.

    Args:
      z: logits, (m, T, k), or `Sequences` of them.
      blank: the class that stands for no label.

    Returns:
      `Sequences` of labels, (m, T) int32, and how many there are, (m,) int32. Beyond that, labels are the blank.

    Raises:
      ValueError: if z is not (m, T, k) with a class, or not of real numbers, blank is not a class, or lengths are
        outside of their axis.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> path = jnp.array([[1, 1, 0, 1, 2, 2, 0]])
      >>> labels, lengths = ctc_greedy(jax.nn.one_hot(path, 3))
      >>> print(labels[0, : lengths[0]])
      [1 1 2]

    Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling unsegmented
    sequence data with recurrent neural networks", 2006, section 3.2.
    """
    logits, lengths = split_lengths(z)
    m, n_steps, k = logits.shape
    _check_blank(blank, k)
    path = jnp.argmax(floats(logits, "z"), axis=-1).astype("int32")
    before = jnp.concatenate([jnp.full((m, 1), blank, path.dtype), path[:, :-1]], axis=1)
    counts = (path != blank) & (path != before)
    live = within(lengths, n_steps)
    counts = counts if live is None else counts & live
    places = jnp.where(counts, jnp.cumsum(counts, axis=1) - 1, n_steps)  # T is outside, and dropped
    labels = jnp.full((m, n_steps), blank, "int32").at[jnp.arange(m)[:, None], places].set(path, mode="drop")
    return Sequences(labels, counts.sum(1).astype("int32"))


class Beam(NamedTuple):
    """The most probable labels that a search has found, the best first.

    Attributes:
      labels: (m, width, T) int32, the blank beyond each length.
      lengths: how many labels there are, (m, width) int32.
      log_p: the logarithm of their probability, (m, width): the sum over the paths that the search has kept, at most
        that of all paths. -inf for a place of the beam without labels. NaN, without labels, if a time within the
        length has no probabilities: a logit is NaN or inf, or all are -inf.
    """

    labels: Array
    lengths: Array
    log_p: Array


def _check_blank(blank: int, k: int) -> None:
    if blank >= k:
        raise ValueError(f"blank must be a class, from 0 to {k - 1}, got {blank}")


class _Prefixes(NamedTuple):
    """The beginnings of labels that one example's search keeps, and the paths that give them so far."""

    labels: Array  # (width, T)
    lengths: Array  # (width,)
    blank: Array  # (width,), log of the probability of paths that end with a blank
    other: Array  # (width,), and of those that end with the last label


@checked(z=_LOGITS, width=Count(), blank=Count(0))
def ctc_beam(z: PyTree, width: int = 16, blank: int = 0) -> Beam:
    """Search for the most probable labels, keeping the `width` most probable beginnings at each time.

    With p_t(c) the probability of class c at time t, B(l) that of all paths so far which give the labels l and end with
    a blank, N(l) of those which end with the last label of l, and l = l' c,

        B_t(l) = p_t(blank) (B_{t-1}(l) + N_{t-1}(l))
        N_t(l) = p_t(c) (N_{t-1}(l) + B_{t-1}(l') + [l' does not end with c] N_{t-1}(l'))

    since a path with c at time t repeats it, or adds it to l', which needs a blank if l' ends with c. If the beam is so
    wide that nothing is dropped, the sums are over all paths, and the first labels are the most probable ones.

    Args:
      z: logits, (m, T, k), or `Sequences` of them.
      width: the number of beginnings that are kept; 1 need not equal `ctc_greedy`, which follows one path.
      blank: the class that stands for no label.

    Returns:
      A `Beam`, sorted by probability.

    Raises:
      ValueError: if z is not (m, T, k) with a class, or not of real numbers, width is below 1, blank is not a class, or
        lengths are outside of their axis.

    Example:
      The path of two blanks is the most probable one, 0.36, but three paths give the label 1, 0.64 together:

      >>> import jax.numpy as jnp
      >>> z = jnp.log(jnp.array([[[0.6, 0.4], [0.6, 0.4]]]))
      >>> labels, lengths, log_p = ctc_beam(z)
      >>> print(ctc_greedy(z).lengths, labels[0, 0, : lengths[0, 0]], jnp.exp(log_p[0, :2]).round(2))
      [0] [1] [0.64 0.36]

    Source: Graves and Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", 2014, algorithm 1
    without a language model.
    """
    logits, lengths = split_lengths(z)
    m, n_steps, k = logits.shape
    _check_blank(blank, k)
    log_p = jnp.maximum(jax.nn.log_softmax(widened(floats(logits, "z"))), _NEVER)
    live = within(lengths, n_steps)
    live = jnp.ones((m, n_steps), bool) if live is None else live
    found = jax.vmap(lambda log_p, live: _search(log_p, live, width, blank))(log_p, live)
    # Comparisons with NaN are false, so that the search would return anything, with the probability 0.
    broken = (jnp.isnan(log_p).any(-1) & live).any(-1)[:, None]
    return Beam(
        jnp.where(broken[..., None], blank, found.labels),
        jnp.where(broken, 0, found.lengths),
        jnp.where(broken, jnp.nan, found.log_p),
    )


def _search(log_p: Array, live: Array, width: int, blank: int) -> Beam:
    """Search one example, (T, k)."""
    n_steps = len(log_p)
    never = jnp.full((width,), _NEVER, log_p.dtype)
    start = _Prefixes(
        jnp.full((width, n_steps), blank, "int32"), jnp.zeros(width, "int32"), never.at[0].set(0.0), never
    )

    def step(beam, at):
        log_p, live = at
        after = _extended(beam, log_p, blank)
        return jax.tree.map(lambda new, old: jnp.where(live, new, old), after, beam), None

    beam = jax.lax.scan(step, start, (log_p, live))[0] if n_steps else start
    total = jnp.logaddexp(beam.blank, beam.other)
    order = jnp.argsort(-total)
    found = total[order]
    return Beam(beam.labels[order], beam.lengths[order], jnp.where(found > _NEVER / 2, found, -jnp.inf))


def _extended(beam: _Prefixes, log_p: Array, blank: int) -> _Prefixes:
    """Return the most probable prefixes after one more time: each prefix itself, and with each label added."""
    labels, lengths, of_blank, of_other = beam
    (width, n_steps), k = labels.shape, len(log_p)
    rows, total = jnp.arange(width), jnp.logaddexp(of_blank, of_other)
    last = jnp.where(lengths > 0, labels[rows, jnp.maximum(lengths - 1, 0)], blank)
    classes = jnp.arange(k)[None]

    # N of a prefix with a label added: paths that end with the same label need a blank first.
    added = jnp.where(classes == last[:, None], of_blank[:, None], total[:, None]) + log_p[None]
    room = (lengths < n_steps) & (total > _NEVER / 2)
    added = jnp.where((classes != blank) & room[:, None], added, _NEVER)

    # A prefix b that is another, a, with a label added: its paths are summed, and it is no second entry.
    shorter = jnp.where(jnp.arange(n_steps)[None] < lengths[:, None] - 1, labels, blank)
    extends = (shorter[None] == labels[:, None]).all(-1) & (lengths[None] == lengths[:, None] + 1)
    extends &= room[:, None] & (total > _NEVER / 2)[None]
    from_shorter = jnp.where(extends, added[:, last], _NEVER)
    stays_blank = total + log_p[blank]
    stays_other = jnp.where(lengths > 0, of_other + log_p[last], _NEVER)
    stays_other = jnp.logaddexp(stays_other, jax.nn.logsumexp(from_shorter, axis=0))
    taken = (extends[:, :, None] & (classes == last[:, None])[None]).any(1)
    added = jnp.where(taken, _NEVER, added)

    scores = jnp.concatenate([jnp.logaddexp(stays_blank, stays_other), added.reshape(-1)])
    best = jax.lax.top_k(scores, width)[1]
    stays = best < width
    parent = jnp.where(stays, best, (best - width) // k)
    label = ((best - width) % k).astype("int32")
    place = jnp.where(stays, n_steps, lengths[parent])  # T is outside, and dropped
    floor = lambda a: jnp.maximum(a, _NEVER)  # noqa: E731
    return _Prefixes(
        labels[parent].at[rows, place].set(label, mode="drop"),
        lengths[parent] + ~stays,
        floor(jnp.where(stays, stays_blank[parent], _NEVER)),
        floor(jnp.where(stays, stays_other[parent], added.reshape(-1)[best - width])),
    )
