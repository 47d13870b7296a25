"""The networks for sequences in PyTorch, with its `LSTM` and `TransformerEncoderLayer`.

Its LSTM has two biases, whose sum is the bias of the others.
"""

import numpy as np
from torch import nn


def network(workload):
    made = {"lstm": Characters, "lstm layer": LSTM, "transformer": Transformer}[workload.network]
    return made(*workload.sizes[made is not Transformer :])


def loss(workload):
    """Return the mean loss over all times."""
    if workload.output == "square":
        return lambda a, y: ((a * a).sum(-1) / 2 + 0.5 - a.gather(-1, y[..., None])[..., 0]).mean()
    return lambda z, y: nn.functional.cross_entropy(z.flatten(0, 1), y.flatten())


def _numpy(*parameters):
    return [p.detach().cpu().numpy() for p in parameters]


class LSTM(nn.Module):
    def __init__(self, n_in, units):
        super().__init__()
        self.lstm = nn.LSTM(n_in, units, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]

    def arrays(self):
        w_x, w_a, b, other = _numpy(*self.lstm.parameters())
        i, f, g, o = zip(*(np.split(a, 4) for a in (w_a, w_x, b + other)), strict=True)
        return [np.concatenate(parts) for parts in zip(f, i, o, g, strict=True)]


class Characters(nn.Module):
    def __init__(self, width, units, characters):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(characters, width), LSTM(width, units)
        self.dense = nn.Linear(units, characters)

    def forward(self, x):
        return self.dense(self.lstm(self.embedding(x)))

    def arrays(self):
        return [*_numpy(self.embedding.weight), *self.lstm.arrays(), *_numpy(self.dense.weight, self.dense.bias)]


class Transformer(nn.Module):
    def __init__(self, n_times, width, heads, hidden, blocks, characters):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(characters, width), nn.Embedding(n_times, width)
        options = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        block = nn.TransformerEncoderLayer(width, heads, hidden, **options)
        self.blocks = nn.TransformerEncoder(block, blocks, nn.LayerNorm(width), enable_nested_tensor=False)
        self.dense = nn.Linear(width, characters)
        mask = nn.Transformer.generate_square_subsequent_mask(n_times)
        self.register_buffer("mask", mask)

    def forward(self, x):
        x = self.embedding(x) + self.positions.weight
        return self.dense(self.blocks(x, self.mask, is_causal=True))

    def arrays(self):
        found = _numpy(self.embedding.weight, self.positions.weight)
        for block in self.blocks.layers:
            of = block.self_attn
            (wq, wk, wv), (bq, _, bv) = (a.chunk(3) for a in (of.in_proj_weight, of.in_proj_bias))
            found += _numpy(block.norm1.bias, block.norm1.weight, wk, of.out_proj.weight, of.out_proj.bias)
            found += _numpy(wq, bq, wv, bv, block.norm2.bias, block.norm2.weight)
            found += _numpy(*block.linear1.parameters(), *block.linear2.parameters())
        norm = self.blocks.norm
        return [*found, *_numpy(norm.bias, norm.weight, self.dense.weight, self.dense.bias)]
