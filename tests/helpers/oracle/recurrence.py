"""Recurrent layers of the cells in `cells`, in loops over examples and times, in rows: x is (m, T, n_in), lengths (m,).

Each example's sequence ends at its length: what x and dy hold beyond it is not read. A state is a tuple of arrays, here
(m, n) each: (a,), or for an LSTM (a, c). All but gradients take complex numbers.
"""

import numpy as np

from .activations import as_float


def times(length, direction):
    """Return the times of one sequence in the order in which they are read: "reverse" begins at its last."""
    return list(range(length))[:: {"forward": 1, "reverse": -1}[direction]]


def states_of(cell, weights, x, order, state):
    """Return the states of one example, one more than there are times in `order`: `state` comes first.

    Args:
        x: (T, n_in). order: times, as of `times`. state: a tuple of (n,).
    """
    states = [state]
    for t in order:
        states.append(cell.step(weights, x[t], states[-1]))
    return states


def one_direction(cell, weights, x, lengths, initial, direction="forward"):
    """Run a cell over each example's sequence in one direction.

    Args:
        x: (m, T, n_in). lengths: (m,), whole numbers from 0 to T. initial: a state, each array (m, n).
        direction: "forward", or "reverse", from each example's last time to its first.

    Returns:
        (y, last): y (m, T, n) holds a after x_t was read, in its place t in either direction, and 0 beyond the length;
        `last` is the state, each array (m, n), after all times of an example; with length 0, the initial one.
    """
    x = as_float(x)
    dtype = np.result_type(x, *weights.values(), *initial)
    y = np.zeros((*x.shape[:2], initial[0].shape[1]), dtype)
    last = tuple(np.zeros(array.shape, dtype) for array in initial)
    for i in range(x.shape[0]):
        order = times(lengths[i], direction)
        states = states_of(cell, weights, x[i], order, tuple(array[i] for array in initial))
        for t, state in zip(order, states[1:], strict=True):
            y[i, t] = state[0]
        for array, value in zip(last, states[-1], strict=True):
            array[i] = value
    return y, last


def d_one_direction(cell, weights, x, lengths, initial, dy, dlast, direction="forward"):
    """Backward through time, from the last time that was read to the first.

    The state after x_t gets dy[i, t], in its a, and what the next step passes to it; the last state gets `dlast`.

    Args:
        dy: (m, T, n). dlast: a state, each array (m, n); the rest as in `one_direction`.

    Returns:
        (dweights, dx, dinitial): a dictionary as `weights`, dx (m, T, n_in), which is 0 beyond the length, and a state.
    """
    x = as_float(x)
    dweights = {name: np.zeros(array.shape) for name, array in weights.items()}
    dx = np.zeros(x.shape)
    dinitial = tuple(np.zeros(array.shape) for array in initial)
    for i in range(x.shape[0]):
        order = times(lengths[i], direction)
        states = states_of(cell, weights, x[i], order, tuple(array[i] for array in initial))
        dstate = tuple(array[i] for array in dlast)
        for t, state in reversed(list(zip(order, states[:-1], strict=True))):
            dstate = (dstate[0] + dy[i, t], *dstate[1:])
            dx[i, t], dstate = cell.d_step(weights, x[i, t], state, dstate, dweights)
        for array, value in zip(dinitial, dstate, strict=True):
            array[i] = value
    return dweights, dx, dinitial


def recurrence(cell, weights, x, lengths, initial, directions=("forward",)):
    """Run a cell in each direction, with separate weights and states; ("forward", "reverse") is bidirectional.

    Args:
        weights, initial: tuples with one entry for each direction; the rest as in `one_direction`.

    Returns:
        (y, last): y (m, T, n for each direction), their outputs side by side, and a tuple of their last states.
    """
    runs = [
        one_direction(cell, one, x, lengths, state, direction)
        for one, state, direction in zip(weights, initial, directions, strict=True)
    ]
    return np.concatenate([y for y, _ in runs], axis=-1), tuple(last for _, last in runs)


def d_recurrence(cell, weights, x, lengths, initial, dy, dlast, directions=("forward",)):
    """Each direction gets its part of dy, and x the sum of what they pass to it.

    Args:
        dy: (m, T, n for each direction). dlast: a tuple of states, one for each; the rest as in `recurrence`.

    Returns:
        (dweights, dx, dinitial): as in `d_one_direction`, dweights and dinitial as tuples of one for each direction.
    """
    parts = np.split(dy, len(directions), axis=-1)
    runs = [
        d_one_direction(cell, one, x, lengths, state, part, after, direction)
        for one, state, part, after, direction in zip(weights, initial, parts, dlast, directions, strict=True)
    ]
    dweights, dx, dinitial = zip(*runs, strict=True)
    return dweights, sum(dx), dinitial
