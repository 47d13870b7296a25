"""Decoders against loops in Python, and against all sequences that there are."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import decoding, nn

RNG = np.random.default_rng(6)
KEY = jax.random.key(0)
NETWORK = jaxnn.chain(nn.each_step(nn.embedding(4, 3)), nn.recurrent(nn.lstm_cell(5)), nn.each_step(jaxnn.dense(4)))
SHAPES = jax.eval_shape(lambda key: NETWORK.init(key, jax.ShapeDtypeStruct((1,), "int32"))[0], KEY)
PARAMS = jax.tree.map(lambda a: RNG.normal(scale=2, size=a.shape).astype("float32"), SHAPES)
PROMPT = np.array([[0, 2], [1, 1], [3, 0]])


def log_softmax(z):
    z = np.asarray(z, np.float64)
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


OUTPUTS = jax.jit(lambda tokens: NETWORK.infer(PARAMS, (), tokens[None])[0])


def log_probs(prefix):
    """Return the log-probabilities of what follows some tokens, from a run over all of them."""
    padded = np.pad(prefix, (0, 8 - len(prefix)))  # what comes later has no influence
    return log_softmax(OUTPUTS(padded)[len(prefix) - 1])


def start():
    return decoding.step_of(NETWORK, PARAMS), *decoding.read(NETWORK, PARAMS, PROMPT)


def decode(decoder, **options):
    return jax.jit(lambda: decoder(*start(), **options))()


@pytest.mark.parametrize("end", [None, 1, 2, 3])
def test_greedy_is_a_loop_over_whole_prefixes(end):
    found = decode(decoding.greedy, n_steps=5, end=end)
    for i, prompt in enumerate(PROMPT.tolist()):
        tokens, score = [], 0.0
        while len(tokens) < 5 and (not tokens or tokens[-1] != end):
            log_p = log_probs(prompt + tokens)
            tokens.append(int(log_p.argmax()))
            score += log_p.max()
        n = len(tokens)
        assert found.tokens[i].tolist() == tokens + [end] * (5 - n)
        assert found.lengths[i] == n
        np.testing.assert_allclose(found.scores[i], score, rtol=1e-5)


def by_python(prompt, n_steps, beams, end, alpha):
    """Beam search with lists: the same rules, no arrays."""
    live, ended = [([], 0.0)], []
    for i in range(n_steps):
        candidates = [(t + [token], p + q) for t, p in live for token, q in enumerate(log_probs(prompt + t))]
        candidates = sorted(candidates, key=lambda one: -one[1])[: 2 * beams]
        ended += [(t, p / ((5 + i + 1) / 6) ** alpha) for t, p in candidates if t[-1] == end]
        ended = sorted(ended, key=lambda one: -one[1])[:beams]
        live = [one for one in candidates if one[0][-1] != end][:beams]
    cut = [(t, p / ((5 + n_steps) / 6) ** alpha) for t, p in live]
    return (ended + cut)[:beams]


@pytest.mark.parametrize(("beams", "alpha"), [(1, 0.0), (2, 0.0), (3, 1.0), (5, 0.6)])
def test_beam_search_is_a_loop_over_lists(beams, alpha):
    found = decode(decoding.beam_search, n_steps=4, beams=beams, end=1, length_penalty=alpha)
    assert found.tokens.shape == (3, beams, 4)
    for i, prompt in enumerate(PROMPT.tolist()):
        expected = by_python(prompt, 4, beams, 1, alpha)
        assert [t[:n] for t, n in zip(found.tokens[i].tolist(), found.lengths[i], strict=True)] == [
            t for t, _ in expected
        ]
        np.testing.assert_allclose(found.scores[i], [p for _, p in expected], rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_with_beams_for_all_sequences_the_best_of_all_is_found(alpha):
    n_steps, end = 3, 1
    found = decode(decoding.beam_search, n_steps=n_steps, beams=40, end=end, length_penalty=alpha)
    for i, prompt in enumerate(PROMPT.tolist()):
        scores = {}
        for n in range(1, n_steps + 1):
            for middle in product([0, 2, 3], repeat=n - 1):
                tokens = [*middle, end]
                p = sum(log_probs(prompt + tokens[:j])[tokens[j]] for j in range(n))
                scores[tuple(tokens)] = p / ((5 + n) / 6) ** alpha
        best = sorted(scores, key=scores.__getitem__, reverse=True)
        assert len(best) == 13
        ended = [tuple(t[:n]) for t, n in zip(found.tokens[i].tolist(), found.lengths[i], strict=True)][:13]
        assert ended == best
        np.testing.assert_allclose(found.scores[i][:13], [scores[t] for t in best], rtol=1e-5)
        assert np.isneginf(found.scores[i][13 + 27 :]).all()  # there are no others than 27 that were cut off


def test_the_search_is_over_when_nothing_can_be_better():
    """A loop that went on would call a step that is NaN from its second call on."""
    end = 1
    first = jnp.log(jnp.array([[0.001, 0.998, 0.001]]))

    def step(calls, tokens):
        return calls + 1, jnp.where(calls[:, None] > 0, jnp.nan, jnp.zeros((len(tokens), 3)))

    found = decoding.beam_search(step, jnp.zeros(1, "int32"), first, 9, 1, end)
    assert found.tokens[0, 0].tolist() == [end] * 9
    assert found.lengths[0, 0] == 1
    np.testing.assert_allclose(found.scores[0, 0], np.log(0.998), atol=1e-6)


def test_samples_have_the_probabilities_of_the_network():
    step = lambda carry, tokens: (carry, jnp.log(table)[tokens])  # noqa: E731
    table = jnp.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    draw = jax.jit(
        lambda temperature: decoding.sample(
            step, (), jnp.log(jnp.tile(table[:1], (20_000, 1))), 2, key=KEY, temperature=temperature
        )
    )
    for temperature in (1.0, 0.5):
        tokens = np.asarray(draw(temperature).tokens)
        sharp = np.asarray(table, float) ** (1 / temperature)
        sharp /= sharp.sum(axis=1, keepdims=True)
        counts = np.histogramdd(tokens, bins=(3, 3), range=[(0, 3), (0, 3)])[0] / len(tokens)
        np.testing.assert_allclose(counts, sharp[0][:, None] * sharp, atol=0.012)  # three standard errors


def test_top_k_draws_among_the_most_probable_alone():
    logits = jnp.tile(jnp.array([[0.0, 3.0, 1.0, 2.0]]), (500, 1))
    step = lambda carry, tokens: (carry, logits)  # noqa: E731
    found = decoding.sample(step, (), logits, 1, key=KEY, top_k=2)
    assert set(found.tokens.ravel().tolist()) == {1, 3}
    expected = np.array([log_softmax(logits[0])[t] for t in found.tokens[:, 0].tolist()])
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5)
    alone = decoding.sample(step, (), logits, 3, key=KEY, top_k=1)
    np.testing.assert_array_equal(alone.tokens, decoding.greedy(step, (), logits, 3).tokens)
    np.testing.assert_array_equal(
        decoding.sample(step, (), logits, 1, key=KEY, top_k=9).tokens,
        decoding.sample(step, (), logits, 1, key=KEY).tokens,
    )


def test_longer_samples_begin_as_shorter_ones():
    short, long = (decode(decoding.sample, n_steps=n, key=KEY).tokens for n in (3, 6))
    np.testing.assert_array_equal(long[:, :3], short)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoding.read(NETWORK, PARAMS, np.zeros((2, 0), int)), r"^prompt must have at least one token"),
        (lambda: decoding.read(NETWORK, PARAMS, np.zeros(2, int)), r"^prompt must be .*\(m, T\), got int64 \(2,\)"),
        (
            lambda: decoding.step_of(jaxnn.chain(jaxnn.dense(2)), PARAMS),
            r"from an earlier piece, got dense\(2\)",
        ),
        (lambda: decode(decoding.greedy, n_steps=0), r"^n_steps must be .*, got 0"),
        (lambda: decode(decoding.sample, n_steps=1, key=KEY, temperature=0.0), r"^temperature must be .*, got 0.0"),
        (lambda: decode(decoding.sample, n_steps=1, key=KEY, top_k=0), r"^top_k must be .*, got 0"),
        (lambda: decode(decoding.beam_search, n_steps=1, beams=0, end=0), r"^beams must be .*, got 0"),
        (lambda: decoding.greedy(lambda c, t: (c, t), (), jnp.zeros(3), 1), r"^logits must be .*\(m, k\), got"),
    ],
)
def test_bad_arguments_raise_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
