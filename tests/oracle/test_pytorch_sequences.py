"""The oracle of sequences compared with PyTorch, where it is installed. scripts/test-torch installs it."""

import numpy as np
import pytest

from tests.helpers.oracle import attention, cells, ctc, recurrence
from tests.helpers.oracle_cases import assert_same
from tests.helpers.sequence_cases import attention_cases, ctc_cases, draw, sequence_cases

torch = pytest.importorskip("torch")
F = torch.nn.functional

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
LAYERS = {
    # The layer, and its order of gates with the sign of each: PyTorch's update gate of a GRU is 1 - u.
    cells.SIMPLE: (torch.nn.RNN, [("a", 1)]),
    cells.LSTM: (torch.nn.LSTM, [("u", 1), ("f", 1), ("c", 1), ("o", 1)]),
    cells.GRU_AFTER: (torch.nn.GRU, [("r", 1), ("u", -1), ("c", 1)]),
}


def tensor(array):
    return torch.tensor(array, requires_grad=True)


def stacked(cell, weights):
    """PyTorch's four arrays of one direction: two of weights, two biases, whose second is that of W_ga."""
    gates = LAYERS[cell][1]
    zero = np.zeros(weights[f"b_{gates[0][0]}"].shape)
    return [
        np.concatenate([sign * weights[f"W_{gate}x"] for gate, sign in gates]),
        np.concatenate([sign * weights[f"W_{gate}a"] for gate, sign in gates]),
        np.concatenate([sign * weights[f"b_{gate}"] for gate, sign in gates]),
        np.concatenate([weights.get(f"b_{gate}a", zero) for gate, _ in gates]),
    ]


def stacked_gradients(cell, dweights):
    """Their gradients: where one bias is added to another, both have the same."""
    gates = LAYERS[cell][1]
    by_x, by_a, by_b, _ = stacked(cell, dweights)
    by_second = [sign * dweights.get(f"b_{gate}a", dweights[f"b_{gate}"]) for gate, sign in gates]
    return [by_x, by_a, by_b, np.concatenate(by_second)]


def by_directions(states, some):
    """PyTorch's arrays (directions, m, n) of a tuple of states, of the examples with a length."""
    return [np.stack(arrays)[:, some] for arrays in zip(*states, strict=True)]


def in_torch(cell, case, drawn):
    """(y, last, dweights, dx, dinitial) of the examples with a length; PyTorch packs no others.

    dweights is a flat list; states are tuples of (directions, m, n).
    """
    some, (_, T, n_in) = case.lengths > 0, case.x.shape
    both, lengths = len(case.directions) == 2, torch.tensor(case.lengths[some])
    layer = LAYERS[cell][0](n_in, case.n, batch_first=True, bidirectional=both, dtype=torch.float64)
    arrays = [array for weights in drawn.weights for array in stacked(cell, weights)]
    parameters = list(layer.parameters())
    with torch.no_grad():
        for parameter, array in zip(parameters, arrays, strict=True):
            parameter.copy_(torch.tensor(array))
    x = tensor(case.x[some])
    initial = [tensor(array) for array in by_directions(drawn.initial, some)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, last = layer(packed, tuple(initial) if len(initial) == 2 else initial[0])
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=T)
    last = last if isinstance(last, tuple) else (last,)
    cotangents = [drawn.dy[some], *by_directions(drawn.dlast, some)]
    gradients = torch.autograd.grad([y, *last], [*parameters, x, *initial], [torch.tensor(d) for d in cotangents])
    gradients, count = [gradient.numpy() for gradient in gradients], len(parameters)
    return y, last, gradients[:count], gradients[count], gradients[count + 1 :]


@pytest.mark.parametrize("cell", LAYERS, ids=lambda cell: cell.name)
def test_pytorch_computes_the_same_recurrence(cell):
    compared = 0
    for case in sequence_cases():
        some = case.lengths > 0
        if not some.any() or case.directions == ("reverse",):
            continue  # PyTorch has no layer that is read in reverse alone
        drawn = draw(cell, case)
        y, last = recurrence.recurrence(cell, drawn.weights, case.x, case.lengths, drawn.initial, case.directions)
        dweights, dx, dinitial = recurrence.d_recurrence(
            cell, drawn.weights, case.x, case.lengths, drawn.initial, drawn.dy, drawn.dlast, case.directions
        )
        expected_y, expected_last, *expected = in_torch(cell, case, drawn)
        last, dinitial = (
            [np.stack(arrays)[:, some] for arrays in zip(*tree, strict=True)] for tree in (last, dinitial)
        )
        assert_same([y[some], *last], [one.detach().numpy() for one in (expected_y, *expected_last)], **CLOSE)
        by_weight = [array for one in dweights for array in stacked_gradients(cell, one)]
        assert_same([*by_weight, dx[some], *dinitial], [*expected[0], expected[1], *expected[2]], **CLOSE)
        compared += 1
    assert compared >= 12


def test_pytorch_computes_the_same_attention(rng):
    """Heads on an axis before the sequence's; of a query that sees nothing, PyTorch too gives zeros."""
    for case in attention_cases():
        arrays = [np.stack(np.split(array, case.heads, axis=-1), axis=1) for array in (case.q, case.k, case.v)]
        tensors = [tensor(array) for array in arrays]
        expected = F.scaled_dot_product_attention(*tensors, attn_mask=torch.tensor(case.visible[:, None]))
        y = attention.dot_attention(case.q, case.k, case.v, case.heads, case.visible)
        dy = rng.normal(size=y.shape)
        cotangent = torch.tensor(np.stack(np.split(dy, case.heads, axis=-1), axis=1))
        gradients = torch.autograd.grad(expected, tensors, cotangent)
        together = [np.concatenate([*one.detach().numpy().swapaxes(0, 1)], axis=-1) for one in (expected, *gradients)]
        actual = [y, *attention.d_dot_attention(case.q, case.k, case.v, case.heads, case.visible, dy)]
        assert_same(actual, together, **CLOSE)


def test_pytorchs_causal_attention():
    """By its own argument, also for fewer keys or queries: query t sees the keys up to t."""
    compared = 0
    for case in attention_cases():
        if not case.causal or case.key_lengths is not None:
            continue
        arrays = [np.stack(np.split(array, case.heads, axis=-1), axis=1) for array in (case.q, case.k, case.v)]
        expected = F.scaled_dot_product_attention(*map(torch.tensor, arrays), is_causal=True)
        expected = np.concatenate([*expected.numpy().swapaxes(0, 1)], axis=-1)
        y = attention.dot_attention(case.q, case.k, case.v, case.heads, case.visible)
        np.testing.assert_allclose(y, expected, **CLOSE)
        compared += 1
    assert compared >= 3


def test_pytorch_computes_the_same_ctc():
    """Losses of each example, infinite where a label is impossible; gradients with its option for those to be 0."""
    for case in ctc_cases():
        z = tensor(case.z)
        log_p, counts = F.log_softmax(z, -1).swapaxes(0, 1), [torch.tensor(array) for array in case[2:5]]
        labels, lengths, label_lengths = counts[1], counts[0], counts[2]
        given = dict(blank=0, reduction="none")
        expected = F.ctc_loss(log_p, labels, lengths, label_lengths, **given)
        counted = F.ctc_loss(log_p, labels, lengths, label_lengths, **given, zero_infinity=True)
        [dz] = torch.autograd.grad(counted.sum(), z)
        actual = [ctc.ctc_loss(case.z, *case[2:5]), ctc.d_ctc_loss(case.z, *case[2:5])]
        assert_same(actual, [expected.detach().numpy(), dz.numpy()], **CLOSE)
