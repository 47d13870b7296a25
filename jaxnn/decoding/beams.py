"""Beam search: the most probable sequence, of those that begin with one of a few good ones at each step."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.arrays import widened
from jaxnn.constraints import Count, Floats, Function, Real, checked
from jaxnn.decoding.steps import Decoded, Step, check_decoding
from jaxnn.typing import Array, PyTree


@checked(
    step=Function("carry", "tokens"),
    logits=Floats("m k"),
    n_steps=Count(),
    beams=Count(),
    end=Count(0),
    length_penalty=Real(0),
)
def beam_search(
    step: Step, carry: PyTree, logits: Array, n_steps: int, beams: int, end: int, length_penalty: float = 0.0
) -> Decoded:
    """Search for the sequences of the highest score, log p / lp, keeping a number of beams at each step.

    With lp(n) = ((5 + n) / 6)^α for n tokens, so that a longer sequence is not worse for its length alone; α = 0 is the
    log-probability itself. At each step, the beams and all tokens after them are compared by log-probability, and
    the best continue; those that end are compared by their scores with those that ended before. The search is over
    after n_steps, or if no beam of any example can still be better than those that ended.

    Args:
      step: `step(carry, tokens) -> (carry, logits)`, as `step_of` makes; it is called with m · beams tokens.
      carry: what it carries before the first token, leaves (m, ...). What the step reads of each sequence, such as an
        encoder's memory, is part of it, since a beam takes the rows of its sequence.
      logits: of the first token, (m, k).
      n_steps: the largest number of tokens, with the end.
      beams: how many sequences are continued.
      end: the token that ends a sequence.
      length_penalty: α, at least 0.

    Returns:
      A `Decoded`, best first: tokens (m, beams, n_steps), lengths and scores (m, beams). A sequence that was cut off at
      n_steps has no end, and stands behind all that ended. If there are fewer sequences than beams, the score of the
      rest is -inf.

    Raises:
      ValueError: if logits are not floats (m, k), a number is outside its range, end is not a token, or the step
        returns another carry or other logits than those that it begins with.

    Example:
      Two tokens and an end. The most probable first token leads to less probable sequences:

      >>> import jax.numpy as jnp
      >>> after = jnp.log(jnp.array([[0.4, 0.3, 0.3], [0.05, 0.05, 0.9], [1.0, 1.0, 1.0]]))
      >>> step = lambda carry, tokens: (carry, after[tokens])
      >>> found = beam_search(step, (), jnp.log(jnp.array([[0.5, 0.4, 0.1]])), n_steps=3, beams=2, end=2)
      >>> found.tokens[0, 0].tolist(), round(float(jnp.exp(found.scores[0, 0])), 2)
      ([1, 2, 2], 0.36)

    Source: Wu et al., "Google's neural machine translation system", 2016, section 7 (the length penalty).
    """
    m, k = logits.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(carry):
        if jnp.shape(leaf)[:1] != (m,):
            raise ValueError(
                f"carry{jax.tree_util.keystr(path)} must be (m, ...) for {m} sequences, got {jnp.shape(leaf)}: beams "
                "take the rows of their sequences"
            )
    check_decoding(step, carry, logits, end)
    dtype = widened(logits).dtype

    def penalized(scores, n):
        return scores / ((5 + jnp.asarray(n, dtype)) / 6) ** length_penalty

    def continued(state):
        i, carry, logits, live, live_tokens, ended, ended_tokens, lengths = state
        log_p = live[..., None] + jax.nn.log_softmax(widened(logits)).reshape(m, beams, k)
        # Twice as many as beams: should half of them end, there is still a beam for each that continues.
        scores, chosen = jax.lax.top_k(log_p.reshape(m, beams * k), min(2 * beams, beams * k))
        scores, chosen = _filled(scores, chosen, 2 * beams)
        source, token = chosen // k, (chosen % k).astype("int32")
        tokens = _rows(live_tokens, source).at[:, :, i].set(token)
        ends = token == end

        these = jnp.where(ends, penalized(scores, i + 1), -jnp.inf)
        ended, best = jax.lax.top_k(jnp.concatenate([ended, these], axis=1), beams)
        ended_tokens = _rows(jnp.concatenate([ended_tokens, tokens], axis=1), best)
        lengths = _rows(jnp.concatenate([lengths, jnp.full_like(chosen, i + 1, "int32")], axis=1), best)

        live, best = jax.lax.top_k(jnp.where(ends, -jnp.inf, scores), beams)
        live_tokens, source, token = (_rows(a, best) for a in (tokens, source, token))
        of_beam = (jnp.arange(m)[:, None] * beams + source).reshape(-1)
        carry, logits = step(jax.tree.map(lambda a: a[of_beam], carry), token.reshape(-1))
        return i + 1, carry, logits, live, live_tokens, ended, ended_tokens, lengths

    def unfinished(state):
        i, _, _, live, _, ended, _, _ = state
        # A log-probability only falls, and the longest sequence has the smallest penalty.
        hope = penalized(live[:, 0], n_steps)
        return (i < n_steps) & jnp.any(hope > ended[:, -1])

    # One beam at first; the others are empty until there are enough sequences.
    live = jnp.where(jnp.arange(beams) == 0, jnp.zeros((m, beams), dtype), -jnp.inf)
    nothing = jnp.full((m, beams), -jnp.inf, dtype)
    tokens = jnp.full((m, beams, n_steps), end, "int32")
    carry, logits = jax.tree.map(lambda a: jnp.repeat(a, beams, axis=0), (carry, logits))
    start = jnp.int32(0), carry, logits, live, tokens, nothing, tokens, jnp.zeros((m, beams), "int32")
    _, _, _, live, live_tokens, ended, ended_tokens, lengths = jax.lax.while_loop(unfinished, continued, start)

    # Behind those that ended stand those that were cut off, and behind them what there is not.
    cut = penalized(live, n_steps)
    scores = jnp.concatenate([ended, cut], axis=1)
    place = jnp.where(jnp.isneginf(scores), 2, (jnp.arange(2 * beams) >= beams)[None].astype("int32"))
    order = jnp.argsort(place, axis=1, stable=True)[:, :beams]
    tokens = jnp.concatenate([ended_tokens, live_tokens], axis=1)
    lengths = jnp.concatenate([lengths, jnp.full_like(lengths, n_steps)], axis=1)
    return Decoded(_rows(tokens, order), _rows(lengths, order), _rows(scores, order))


def _rows(a: Array, chosen: Array) -> Array:
    """Return the rows (m, n, ...) of a (m, ..., ...) that are chosen (m, n)."""
    return jnp.take_along_axis(a, chosen.reshape(chosen.shape + (1,) * (a.ndim - 2)), axis=1)


def _filled(scores: Array, chosen: Array, n: int) -> tuple[Array, Array]:
    """Return n candidates: those that there are, and such of probability 0."""
    missing: Any = ((0, 0), (0, n - scores.shape[1]))
    return jnp.pad(scores, missing, constant_values=-jnp.inf), jnp.pad(chosen, missing)
