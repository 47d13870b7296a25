"""Text token by token: the most probable one each time (greedy), or one drawn at random."""

import jax
import jax.numpy as jnp

from jaxnn.arrays import widened
from jaxnn.constraints import Count, Floats, Function, Nothing, RandomKey, Real, checked
from jaxnn.decoding.steps import Decoded, Step
from jaxnn.typing import Array, Key, PyTree

_STEP, _LOGITS, _END = Function("carry", "tokens"), Floats("m k"), Count(0) | Nothing()


@checked(step=_STEP, logits=_LOGITS, n_steps=Count(), end=_END)
def greedy(step: Step, carry: PyTree, logits: Array, n_steps: int, end: int | None = None) -> Decoded:
    """Take the most probable token at each step; of equal ones, the first.

    Args:
      step: `step(carry, tokens) -> (carry, logits)`, as `step_of` makes.
      carry: what it carries before the first token.
      logits: of the first token, (m, k).
      n_steps: the largest number of tokens.
      end: the token that ends a sequence; `None` if all are of n_steps.

    Returns:
      A `Decoded`: tokens (m, n_steps).

    Raises:
      ValueError: if logits are not floats (m, k), n_steps is below 1, or end is not a token.

    Example:
      A step that counts: the token after i is i + 1.

      >>> import jax, jax.numpy as jnp
      >>> step = lambda carry, tokens: (carry, jax.nn.one_hot(tokens + 1, 5))
      >>> decoded = greedy(step, (), jax.nn.one_hot(jnp.array([0, 2]), 5), n_steps=4, end=4)
      >>> decoded.tokens.tolist(), decoded.lengths.tolist()
      ([[0, 1, 2, 3], [2, 3, 4, 4]], [4, 3])
    """
    return _decoded(step, carry, logits, n_steps, end, lambda log_p, i: jnp.argmax(log_p, axis=-1))


@checked(
    step=_STEP,
    logits=_LOGITS,
    n_steps=Count(),
    key=RandomKey(),
    temperature=Real(0, closed="right", fix="greedy(...) takes the most probable"),
    top_k=Count() | Nothing(),
    end=_END,
)
def sample(
    step: Step,
    carry: PyTree,
    logits: Array,
    n_steps: int,
    *,
    key: Key,
    temperature: float = 1.0,
    top_k: int | None = None,
    end: int | None = None,
) -> Decoded:
    """Draw each token from softmax(logits / temperature), of the top_k most probable ones alone.

    Args:
      step: as of `greedy`.
      carry: as of `greedy`.
      logits: as of `greedy`.
      n_steps: as of `greedy`.
      end: as of `greedy`.
      key: a random key. Token i is drawn by `fold_in(key, i)`.
      temperature: above 0; near 0 it is greedy, at 1 the network's own distribution, above 1 a flatter one.
      top_k: from how many tokens it is drawn; `None` for all.

    Returns:
      A `Decoded`: tokens (m, n_steps), with their log-probabilities at temperature 1, among all tokens.

    Raises:
      ValueError: as `greedy`, and if temperature is not above 0 or top_k below 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> step = lambda carry, tokens: (carry, jnp.zeros((len(tokens), 3)))
      >>> tokens = sample(step, (), jnp.zeros((2, 3)), 100, key=jax.random.key(0)).tokens
      >>> tokens.shape, jnp.unique(tokens).tolist()
      ((2, 100), [0, 1, 2])

    Source: Fan, Lewis and Dauphin, "Hierarchical neural story generation", 2018, section 5.4 (top-k).
    """

    def choose(log_p, i):
        scaled = log_p / temperature
        if top_k is not None and top_k < log_p.shape[-1]:
            least = jax.lax.top_k(scaled, top_k)[0][:, -1:]
            scaled = jnp.where(scaled < least, -jnp.inf, scaled)
        return jax.random.categorical(jax.random.fold_in(key, i), scaled)

    return _decoded(step, carry, logits, n_steps, end, choose)


def _decoded(step, carry, logits, n_steps, end, choose) -> Decoded:
    """Choose n_steps tokens one after another, each from the log-probabilities (m, k) that follow the one before."""

    def one(state, i):
        carry, logits, length, score, ended = state
        log_p = jax.nn.log_softmax(widened(logits))
        token = choose(log_p, i).astype("int32")
        score += jnp.where(ended, 0, jnp.take_along_axis(log_p, token[:, None], axis=-1)[:, 0])
        length += ~ended
        if end is not None:
            token = jnp.where(ended, end, token)
            ended |= token == end
        carry, logits = step(carry, token)
        return (carry, logits, length, score, ended), token

    m = len(logits)
    score = jnp.zeros(m, widened(logits).dtype)
    start = carry, logits, jnp.zeros(m, "int32"), score, jnp.zeros(m, bool)
    (_, _, lengths, scores, _), tokens = jax.lax.scan(one, start, jnp.arange(n_steps))
    return Decoded(tokens.T, lengths, scores)
