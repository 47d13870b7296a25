"""The networks for sequences in Equinox, of one example under `vmap`: `LSTMCell` in a scan, `MultiheadAttention`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def network(workload, key):
    """Return the model, and no state."""
    made = {"lstm": Characters, "lstm layer": LSTM, "transformer": Transformer}[workload.network]
    return made(*workload.sizes[made is not Transformer :], key), None


def _arrays(*layers):
    found = []
    for layer in layers:
        pair = layer.weight, layer.bias
        found += [np.asarray(a) for a in (pair[::-1] if isinstance(layer, eqx.nn.LayerNorm) else pair)]
    return found


class LSTM(eqx.Module):
    cell: eqx.nn.LSTMCell

    def __init__(self, n_in, units, key):
        self.cell = eqx.nn.LSTMCell(n_in, units, key=key)

    def __call__(self, x, state=None):
        def step(hidden, x):
            hidden = self.cell(x, hidden)
            return hidden, hidden[0]

        zeros = jnp.zeros(self.cell.hidden_size)
        return jax.lax.scan(step, (zeros, zeros), x)[1], state

    def arrays(self):
        given = self.cell.weight_hh, self.cell.weight_ih, self.cell.bias
        i, f, g, o = zip(*(np.split(np.asarray(a), 4) for a in given), strict=True)
        return [np.concatenate(parts) for parts in zip(f, i, o, g, strict=True)]


class Characters(eqx.Module):
    embedding: eqx.nn.Embedding
    lstm: LSTM
    dense: eqx.nn.Linear

    def __init__(self, width, units, characters, key):
        keys = jax.random.split(key, 3)
        self.embedding = eqx.nn.Embedding(characters, width, key=keys[0])
        self.lstm = LSTM(width, units, keys[1])
        self.dense = eqx.nn.Linear(units, characters, key=keys[2])

    def __call__(self, x, state=None):
        return jax.vmap(self.dense)(self.lstm(jax.vmap(self.embedding)(x))[0]), state

    def arrays(self):
        return [np.asarray(self.embedding.weight), *self.lstm.arrays(), *_arrays(self.dense)]


class Block(eqx.Module):
    norms: list
    attention: eqx.nn.MultiheadAttention
    denses: list

    def __init__(self, width, heads, hidden, key):
        keys = jax.random.split(key, 3)
        biases = dict.fromkeys((f"use_{name}_bias" for name in ("query", "value", "output")), True)
        self.norms = [eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)]
        self.attention = eqx.nn.MultiheadAttention(heads, width, **biases, key=keys[0])
        self.denses = [eqx.nn.Linear(width, hidden, key=keys[1]), eqx.nn.Linear(hidden, width, key=keys[2])]

    def __call__(self, x):
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y, jnp.tri(len(x), dtype=bool))
        hidden = jax.nn.gelu(jax.vmap(self.denses[0])(jax.vmap(self.norms[1])(x)), approximate=False)
        return x + jax.vmap(self.denses[1])(hidden)

    def arrays(self):
        of = self.attention
        attention = [np.asarray(of.key_proj.weight), *_arrays(of.output_proj, of.query_proj, of.value_proj)]
        return [*_arrays(self.norms[0]), *attention, *_arrays(self.norms[1], *self.denses)]


class Transformer(eqx.Module):
    embedding: eqx.nn.Embedding
    positions: eqx.nn.Embedding
    blocks: list
    norm: eqx.nn.LayerNorm
    dense: eqx.nn.Linear

    def __init__(self, n_times, width, heads, hidden, blocks, characters, key):
        keys = jax.random.split(key, blocks + 3)
        self.embedding = eqx.nn.Embedding(characters, width, key=keys[0])
        self.positions = eqx.nn.Embedding(n_times, width, key=keys[1])
        self.blocks = [Block(width, heads, hidden, one) for one in keys[3:]]
        self.norm, self.dense = eqx.nn.LayerNorm(width), eqx.nn.Linear(width, characters, key=keys[2])

    def __call__(self, x, state=None):
        x = jax.vmap(self.embedding)(x) + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return jax.vmap(self.dense)(jax.vmap(self.norm)(x)), state

    def arrays(self):
        embeddings = [np.asarray(self.embedding.weight), np.asarray(self.positions.weight)]
        return [*embeddings, *(a for block in self.blocks for a in block.arrays()), *_arrays(self.norm, self.dense)]
