"""Decoders against loops in Python, and against all sequences that there are."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn import decoding, nn

pytestmark = pytest.mark.usefixtures("quick_compilation")

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


@pytest.mark.representatives("2")
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


@pytest.mark.representatives("2-0.0")
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


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
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
        (
            lambda: decoding.read(NETWORK, PARAMS, np.zeros((0, 2), int)),
            r"^prompt must be of at least one sequence, got",
        ),
        (
            lambda: decoding.read(NETWORK, PARAMS, PROMPT, memory=jnp.zeros((3, 2, 4))),
            "x must be one array of sequences, or Sequences of it, got a tuple: a layer of one sequence takes no",
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


LOGITS = jnp.zeros((2, 3))
DECODERS = {
    "greedy": lambda step, carry, logits, end: decoding.greedy(step, carry, logits, 2, end=end),
    "sample": lambda step, carry, logits, end: decoding.sample(step, carry, logits, 2, key=KEY, end=end),
    "beam_search": lambda step, carry, logits, end: decoding.beam_search(step, carry, logits, 2, 2, end),
}


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_what_the_step_returns_and_the_end_are_checked(decoder):
    carry = jnp.zeros((2, 4))
    with pytest.raises(ValueError, match=r"^end must be a token, from 0 to 2, got 3: logits have 3 tokens$"):
        decoder(lambda carry, tokens: (carry, jnp.zeros((len(tokens), 3))), carry, LOGITS, 3)
    for step in (
        lambda carry, tokens: (jnp.zeros((len(tokens), 3)), carry),
        lambda carry, tokens: jnp.zeros((len(tokens), 3)),
        lambda carry, tokens: (carry, jnp.zeros((len(tokens), 4))),
        lambda carry, tokens: (carry.astype("bfloat16"), jnp.zeros((len(tokens), 3))),
    ):
        with pytest.raises(ValueError, match=r"^step must return \(carry, logits\) like .* got .*$"):
            decoder(step, carry, LOGITS, 2)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_no_token_to_choose_from_raises(decoder):
    with pytest.raises(ValueError, match=r"^logits must be of at least one token, got \(2, 0\): the network ends with"):
        decoder(lambda carry, tokens: (carry, tokens), (), jnp.zeros((2, 0)), 0)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_no_sequence_has_nothing_decoded(decoder):
    found = decoder(lambda carry, tokens: (carry, jnp.zeros((len(tokens), 3))), (), jnp.zeros((0, 3)), 2)
    assert {a.shape[0] for a in found} == {0} and found.tokens.shape[-1] == 2


@pytest.mark.parametrize("carry", [jnp.zeros(()), jnp.zeros((4, 2))])
def test_beams_take_the_rows_of_a_carry(carry):
    with pytest.raises(ValueError, match=r"^carry\['a'\] must be \(m, ...\) for 2 sequences, got "):
        decoding.beam_search(lambda carry, tokens: (carry, LOGITS), {"a": carry}, LOGITS, 2, 2, 1)


@pytest.mark.parametrize("temperature", [1e-30, 1e-39, 1e-50])
def test_near_zero_temperature_is_greedy(temperature):
    logits = jnp.array([[0.0, 1.0, 3.0, 2.0]])
    step = lambda carry, tokens: (carry, logits)  # noqa: E731
    assert decoding.sample(step, (), logits, 3, key=KEY, temperature=temperature).tokens.tolist() == [[2, 2, 2]]


@pytest.mark.full
def test_of_equal_tokens_the_first_are_the_top_k():
    logits = jnp.tile(jnp.array([[1.0, 2.0, 1.0, 1.0, 2.0]]), (500, 1))
    step = lambda carry, tokens: (carry, logits)  # noqa: E731
    for top_k, expected in ((1, {1}), (2, {1, 4}), (3, {0, 1, 4})):
        assert {*decoding.sample(step, (), logits, 1, key=KEY, top_k=top_k).tokens.ravel().tolist()} == expected


# A decoder that reads what an encoder makes of a source


LETTER, TOKENS = jax.ShapeDtypeStruct((1,), "int32"), jnp.zeros(3, int)
SOURCE = np.array([[1, 4, 2, 0, 3, 1], [2, 2, 0, 0, 0, 0], [3, 1, 4, 1, 0, 0]])
ENCODER = jaxnn.chain(nn.each_step(nn.embedding(5, 4)), nn.bidirectional(nn.gru_cell(2)))
RECURRENT = jaxnn.chain(
    nn.parallel(nn.each_step(nn.embedding(4, 3)), nn.identity()),
    nn.recurrent_attention(nn.lstm_cell(5), 3),
    nn.each_step(jaxnn.dense(4)),
)
TRANSFORMER = jaxnn.chain(
    nn.parallel(jaxnn.chain(nn.each_step(nn.embedding(4, 4)), nn.positions()), nn.identity()),
    nn.transformer_block(2, 6, causal=True, memory=True),
    nn.transformer_block(2, 6, causal=True, memory=True),
    nn.select(0),
    nn.each_step(jaxnn.dense(4)),
)
TRANSLATORS = {"recurrent": RECURRENT, "transformer": TRANSFORMER}
of_translators = pytest.mark.parametrize("name", TRANSLATORS)
with_lengths = pytest.mark.parametrize("lengths", [None, (6, 2, 4)], ids=["whole", "lengths"])


encoded = jax.jit(ENCODER.infer)


class Translation:
    """A training network from (target, source), and its parts with the same params."""

    def __init__(self, name, lengths):
        self.decoder = TRANSLATORS[name]
        self.network = jaxnn.chain(nn.parallel(nn.identity(), ENCODER), self.decoder)
        source = jnp.asarray(SOURCE)
        self.source = source if lengths is None else nn.Sequences(source, jnp.array(lengths))
        shapes = LETTER, nn.shapes_of(self.source)
        like = jax.eval_shape(lambda: self.network.init(KEY, shapes)[0])
        rng = np.random.default_rng(3)
        self.params = jax.tree.map(lambda a: jnp.asarray(rng.normal(scale=0.7, size=a.shape).astype("float32")), like)
        self.memory = encoded(self.params[0][1], (), self.source)
        self.outputs = jax.jit(lambda tokens: self.network.infer(self.params, (), (tokens, self.source)))

    def log_probs(self, i, prefix):
        """Return the log-probabilities of what follows some tokens of sequence i, by the training network."""
        padded = np.zeros((3, 8), int)  # what comes later has no influence
        padded[i, : len(prefix)] = prefix
        return log_softmax(self.outputs(padded)[i, len(prefix) - 1])

    def start(self, prompt):
        step = decoding.step_of(self.decoder, self.params[1], memory=True)
        return step, *decoding.read(self.decoder, self.params[1], prompt, length=9, memory=self.memory)


@pytest.mark.full
@with_lengths
@of_translators
def test_greedy_translations_are_a_loop_over_whole_prefixes(name, lengths):
    translation = Translation(name, lengths)
    found = jax.jit(lambda: decoding.greedy(*translation.start(PROMPT), n_steps=5, end=1))()
    for i, prompt in enumerate(PROMPT.tolist()):
        tokens, score = [], 0.0
        while len(tokens) < 5 and (not tokens or tokens[-1] != 1):
            log_p = translation.log_probs(i, prompt + tokens)
            tokens.append(int(log_p.argmax()))
            score += log_p.max()
        assert found.tokens[i].tolist() == tokens + [1] * (5 - len(tokens))
        assert found.lengths[i] == len(tokens)
        np.testing.assert_allclose(found.scores[i], score, rtol=1e-4)


@pytest.mark.full
@with_lengths
@of_translators
def test_beams_of_translations_are_a_loop_over_lists(name, lengths, monkeypatch):
    """Each beam reads the memory of its sequence."""
    translation = Translation(name, lengths)
    found = jax.jit(lambda: decoding.beam_search(*translation.start(PROMPT), n_steps=4, beams=3, end=1))()
    for i, prompt in enumerate(PROMPT.tolist()):
        monkeypatch.setitem(globals(), "log_probs", lambda prefix, i=i: translation.log_probs(i, prefix))
        expected = by_python(prompt, 4, 3, 1, 0.0)
        assert [t[:n] for t, n in zip(found.tokens[i].tolist(), found.lengths[i], strict=True)] == [
            t for t, _ in expected
        ]
        np.testing.assert_allclose(found.scores[i], [p for _, p in expected], rtol=1e-4)


@pytest.mark.full
@of_translators
def test_what_is_beyond_the_length_of_a_source_is_not_read(name):
    one, other = Translation(name, (6, 2, 4)), Translation(name, (6, 2, 4))
    noise = np.where(np.arange(6) < np.array([6, 2, 4])[:, None], SOURCE, 4)
    other.memory = encoded(other.params[0][1], (), nn.Sequences(jnp.asarray(noise), jnp.array([6, 2, 4])))
    found, same, whole = (
        jax.jit(lambda t=t: decoding.greedy(*t.start(PROMPT), n_steps=5))()
        for t in (one, other, Translation(name, None))
    )
    jax.tree.map(np.testing.assert_array_equal, found, same)
    assert not np.allclose(whole.scores, found.scores, rtol=1e-3)


@pytest.mark.full
@with_lengths
@of_translators
def test_a_step_does_not_compute_again_what_is_made_of_the_memory(name, lengths):
    """Its outputs are those of pieces that read the memory anew, and params of keys and values are not read."""
    translation = Translation(name, lengths)
    decoder, params = translation.decoder, translation.params[1]
    step, (carry, memory), logits = translation.start(PROMPT)
    form, anew = nn.carried(decoder), nn.start_carry(decoder, params, 3, length=9)
    expected, anew = form.infer(params, (), ((PROMPT, translation.memory), anew))
    np.testing.assert_allclose(logits, expected[:, -1], rtol=1e-5, atol=1e-6)
    tokens = jnp.argmax(logits, -1)
    _, logits = step((carry, memory), tokens)
    expected, _ = form.infer(params, (), ((tokens[:, None], translation.memory), anew))
    np.testing.assert_allclose(logits, expected[:, 0], rtol=1e-5, atol=1e-6)

    nan = jax.tree_util.tree_map_with_path(
        lambda path, a: a * jnp.nan if of_memory(jax.tree_util.keystr(path)) else a, params
    )
    assert np.isnan(form.infer(nan, (), ((tokens[:, None], translation.memory), anew))[0]).any()
    _, same = decoding.step_of(decoder, nan, memory=True)((carry, memory), tokens)
    np.testing.assert_array_equal(same, logits)


def of_memory(path):
    """Whether params make keys or values of the memory: in a Transformer, of the second part of a block."""
    return path == "[1]['key']['W']" or (path[3:6] == "[1]" and ("'key'" in path or "'value'" in path))


@pytest.mark.full
def test_the_memory_is_part_of_the_carry_only_if_there_is_one():
    translation = Translation("recurrent", None)
    carry, _ = decoding.read(translation.decoder, translation.params[1], PROMPT, memory=translation.memory)
    assert carry[1] is translation.memory
    started = jax.tree.structure(nn.start_carry(RECURRENT, translation.params[1], 3))
    assert started.num_leaves == 2  # the state alone; what is made of the memory is kept from the prompt on
    assert [leaf.shape for leaf in jax.tree.leaves(carry[0])] == [(3, 5), (3, 5), (3, 6, 3)]
    alone, _ = decoding.read(NETWORK, PARAMS, PROMPT)
    assert jax.tree.structure(alone) == jax.tree.structure(nn.start_carry(NETWORK, PARAMS, 3))


@cache
def begun():
    """Return a translation, its step and the carry after the prompt."""
    translation = Translation("recurrent", None)
    step, carry, _ = translation.start(PROMPT)
    return translation, step, carry


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, step, carry: step(carry[0], TOKENS),
            r"^carry must be \(carry, memory\), got a tuple: read\(",
        ),
        (lambda t, step, carry: step((), TOKENS), r"^carry must be \(carry, memory\), got \(\)"),
        (lambda t, step, carry: step(carry[::-1], TOKENS), "^carry must be a tuple of 3 entries"),
        (
            lambda t, step, carry: decoding.step_of(t.decoder, t.params[1])(carry, TOKENS),
            "^carry must be a tuple of 3 entries, one per layer, got a tuple",
        ),
        (
            lambda t, step, carry: decoding.read(t.decoder, t.params[1], PROMPT),
            r"x must be a tuple of 2 entries, one per layer, got",
        ),
        (
            lambda t, step, carry: decoding.read(t.decoder, t.params[1], PROMPT, memory=t.memory[:1]),
            r"h must be numbers \(m=3, keys, n_k=4\) for W_k \(3, 4\) and x \(3, 2, 3\), got float32 \(1, 6, 4\)",
        ),
        (
            lambda t, step, carry: decoding.read(t.decoder, t.params[1], PROMPT, memory=()),
            "x must be one array of sequences, or Sequences of it, got ",
        ),
        (
            lambda t, step, carry: decoding.read(t.decoder, t.params[1], PROMPT, memory=t.memory[..., :3]),
            r"h must be numbers \(m=3, keys, n_k=4\) for W_k \(3, 4\) and x \(3, 2, 3\), got float32 \(3, 6, 3\)",
        ),
        (
            lambda t, step, carry: decoding.step_of(t.decoder, t.params[1], memory="yes"),
            "^memory must be True or False, got 'yes'",
        ),
    ],
)
def test_a_wrong_carry_or_memory_raises_in_one_line(call, message):
    translation, step, carry = begun()
    with pytest.raises(ValueError, match=message) as error:
        call(translation, step, carry)
    assert "\n" not in str(error.value)
