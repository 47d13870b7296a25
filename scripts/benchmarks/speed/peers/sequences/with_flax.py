"""The networks for sequences in Flax NNX, with its `OptimizedLSTMCell` under `RNN`, and `MultiHeadAttention`."""

import jax
import jax.numpy as jnp
from flax import nnx


def network(workload, rngs):
    made = {"lstm": Characters, "lstm layer": LSTM, "transformer": Transformer}[workload.network]
    return made(*workload.sizes[made is not Transformer :], rngs)


def _arrays(*layers):
    """Return the arrays of dense layers, whose inputs or outputs may be heads."""
    found = []
    for layer in layers:
        if isinstance(layer, nnx.LayerNorm):
            found += [layer.bias[...], layer.scale[...]]
        else:
            kernel, bias = layer.kernel[...], layer.bias[...]
            n = bias.size
            found += [kernel.reshape(-1, n).T, bias.ravel()]
    return found


class LSTM(nnx.Module):
    def __init__(self, n_in, units, rngs):
        self.rnn = nnx.RNN(nnx.OptimizedLSTMCell(n_in, units, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.rnn(x)

    def arrays(self):
        cell = self.rnn.cell
        given = cell.dense_h.kernel[...], cell.dense_i.kernel[...], cell.dense_h.bias[...]
        i, f, g, o = zip(*(jnp.split(a, 4, axis=-1) for a in given), strict=True)
        return [jnp.concatenate(parts, -1).T for parts in zip(f, i, o, g, strict=True)]


class Characters(nnx.Module):
    def __init__(self, width, units, characters, rngs):
        self.embed = nnx.Embed(characters, width, rngs=rngs)
        self.lstm = LSTM(width, units, rngs)
        self.dense = nnx.Linear(units, characters, rngs=rngs)

    def __call__(self, x):
        return self.dense(self.lstm(self.embed(x)))

    def arrays(self):
        return [self.embed.embedding[...], *self.lstm.arrays(), *_arrays(self.dense)]


class Block(nnx.Module):
    def __init__(self, width, heads, hidden, rngs):
        self.norm1, self.norm2 = (nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs) for _ in range(2))
        self.attention = nnx.MultiHeadAttention(heads, width, decode=False, rngs=rngs)
        self.dense1, self.dense2 = nnx.Linear(width, hidden, rngs=rngs), nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.norm1(x), is_causal=True)
        return x + self.dense2(jax.nn.gelu(self.dense1(self.norm2(x)), approximate=False))

    def arrays(self):
        of, width = self.attention, self.norm1.scale[...].size
        key = of.key.kernel[...].reshape(width, width).T
        attention = [key, *_arrays(of.out, of.query, of.value)]
        return [*_arrays(self.norm1), *attention, *_arrays(self.norm2, self.dense1, self.dense2)]


class Transformer(nnx.Module):
    def __init__(self, n_times, width, heads, hidden, blocks, characters, rngs):
        self.embed, self.positions = nnx.Embed(characters, width, rngs=rngs), nnx.Embed(n_times, width, rngs=rngs)
        self.blocks = nnx.List([Block(width, heads, hidden, rngs) for _ in range(blocks)])
        self.norm = nnx.LayerNorm(width, epsilon=1e-5, rngs=rngs)
        self.dense = nnx.Linear(width, characters, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x) + self.positions(jnp.arange(x.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.dense(self.norm(x))

    def arrays(self):
        embeddings = [self.embed.embedding[...], self.positions.embedding[...]]
        return [*embeddings, *(a for block in self.blocks for a in block.arrays()), *_arrays(self.norm, self.dense)]
