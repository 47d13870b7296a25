"""Transformer blocks, made of attention, layers at each time, and skip connections."""

from typing import Literal

import jax

from jaxnn.arrays import add_cotangents
from jaxnn.constraints import Count, Flag, Nothing, OneOf, RandomKey, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import RESIDUAL
from jaxnn.nn.activations import ACTIVATIONS, ActivationName, identity
from jaxnn.nn.attention_with_heads import multi_head_attention
from jaxnn.nn.branches import parallel
from jaxnn.nn.combinators import alone, combined, in_a_tuple, layer_keys
from jaxnn.nn.composition import add_floats, chain, residual
from jaxnn.nn.layer import Layer
from jaxnn.nn.linear import dense, dense_backward, dense_forward
from jaxnn.nn.normalization import layer_norm
from jaxnn.nn.shapes import structs
from jaxnn.nn.stepwise import each_step
from jaxnn.nn.stochastic import RATE, dropout
from jaxnn.sequences import Sequences
from jaxnn.typing import Scalar
from jaxnn.validation import is_constant

__all__ = ["transformer_block"]


@factory
@checked(
    heads=Count(),
    hidden=Count(),
    causal=Flag(),
    norm=OneOf(["first", "last"]),
    dropout_rate=RATE,
    activation=OneOf(ACTIVATIONS),
    memory=Flag(),
    block=Count() | Nothing(),
    attention_dropout=RATE,
)
def transformer_block(
    heads: int,
    hidden: int,
    causal: bool = False,
    norm: Literal["first", "last"] = "first",
    dropout_rate: Scalar = 0.0,
    activation: ActivationName = "gelu",
    memory: bool = False,
    block: int | None = None,
    attention_dropout: Scalar = 0.0,
) -> Layer:
    """Return a Transformer block: attention of the sequence to itself, then two dense layers at each time.

    Each of the two is f in x + f(layer_norm(x)), or in layer_norm(x + f(x)) with the norm last. A block with a memory
    has attention to it between them.

    Derivation. The chain rule through its parts: y = x + f(u) with u = layer_norm(x) has dx = dy + du ∂u/∂x, du the
    cotangent of f's input; y = layer_norm(s) with s = x + f(x) has dx = ds + ds ∂f/∂x.

    Args:
      heads: of the attention, which divide n.
      hidden: units of the first of the two dense layers; the second has n.
      causal: whether a time sees only itself and the times before it.
      norm: "first", with which deep networks train without a warm-up of the learning rate, or "last", as published.
        After the last block with the norm first, put `each_step(layer_norm())`.
      dropout_rate: of what each f returns, in training.
      activation: between the two dense layers, a name in `ACTIVATIONS`; the published one is "relu".
      memory: whether the block also reads another sequence, as a decoder reads its encoder: then the input is
        (x, memory), and the output (y, memory), for the next block. After the last one, `select(0)` returns y alone.
      block: of the attention in blocks, as `multi_head_attention` takes it.
      attention_dropout: of the weights of attention, in training.

    Returns:
      A `Layer` from x (m, T, n), or `Sequences` of it, to y of the same shape.

    Raises:
      ValueError: if an argument has another value; at `init`, if n is not a multiple of heads.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> blocks = [transformer_block(4, hidden=256, causal=True) for _ in range(6)]
      >>> network = jaxnn.chain(nn.positions(), *blocks, nn.each_step(nn.layer_norm()))
      >>> network.init(jax.random.key(0), (100, 64))[1]
      (100, 64)

    Sources: Vaswani et al., "Attention is all you need", 2017, section 3.1; for the norm first, Xiong et al., "On layer
    normalization in the Transformer architecture", 2020.
    """
    dropped = [] if is_constant(dropout_rate, 0) else [each_step(dropout(dropout_rate))]
    norm_x, first = each_step(layer_norm()), norm == "first"

    def skipping(layer):
        f = chain(layer, *dropped)
        return residual(chain(norm_x, f)) if first else chain(residual(f), norm_x)

    attend = skipping(multi_head_attention(heads, causal, block=block, dropout=attention_dropout))
    if first:  # x is put to 0 beyond its length, or the skip connections would pass it on
        attend = chain(each_step(identity()), attend)
    feed = skipping(each_step(_back_to_size(chain(dense(hidden, "glorot"), ACTIVATIONS[activation]()))))
    if not memory:
        return chain(attend, feed)
    of_memory = multi_head_attention(heads, memory=True, block=block, dropout=attention_dropout)
    f, norm_pair = chain(of_memory, *dropped), parallel(norm_x, identity())
    read = _residual_to_memory(chain(norm_pair, f)) if first else chain(_residual_to_memory(f), norm_pair)
    return chain(parallel(attend, identity()), read, parallel(feed, identity()))


def _residual_to_memory(layer: Layer) -> Layer:
    """Return the layer (x, memory) -> (x + f(x, memory), memory).

    Derivation. dx is dy plus the dx of f; the memory's cotangent is that of f plus that of the memory passed on.
    """

    def init(key, in_shape):
        x, memory = in_shape
        params, _ = layer.init(key, in_shape)
        return params, (structs(x), structs(memory))

    def forward(run, pair):
        x, memory = pair
        return add_floats(x, run(0, pair)), memory

    def backward(run, cotangents):
        dy, _ = cotangents
        return add_cotangents(run(0, dy), cotangents)

    return combined([layer], alone(RESIDUAL), init, forward, backward, lambda key: [key])


@factory
def _back_to_size(layer: Layer) -> Layer:
    """Return the layer, and after it a dense layer with as many units as the input has features."""
    back = Layer(
        lambda key, in_shape: ((), in_shape), lambda params, x, key=None: dense_forward(params, x), dense_backward
    )

    @checked(key=RandomKey())
    def init(key, in_shape):
        of_layer, of_back = layer_keys(key, 2)
        params, hidden = layer.init(of_layer, in_shape)
        return (params, dense(in_shape[-1], "glorot").init(of_back, hidden)[0]), in_shape

    return combined(
        [layer, back],
        in_a_tuple(2),
        init,
        lambda run, x: run(1, run(0, x)),
        lambda run, dy: run(0, run(1, dy)),
        lambda key: layer_keys(key, 2),
    )


_PADDED = Sequences(jax.ShapeDtypeStruct((5, 4), "float32"), jax.ShapeDtypeStruct((), "int32"))
_OTHER = Sequences(jax.ShapeDtypeStruct((6, 3), "float32"), jax.ShapeDtypeStruct((), "int32"))

CASES = {
    "transformer_block_causal_lengths": (lambda: transformer_block(2, 3, causal=True, block=2), _PADDED),
    "transformer_block_norm_last": (
        lambda: transformer_block(1, 6, norm="last", dropout_rate=0.2, activation="tanh"),
        (5, 4),
        {"random": True},
    ),
    "transformer_block_memory": (lambda: transformer_block(2, 3, causal=True, memory=True), (_PADDED, _OTHER)),
    "transformer_block_attention_dropout": (
        lambda: transformer_block(2, 3, causal=True, attention_dropout=0.3),
        (5, 4),
        {"random": True},
    ),
}
