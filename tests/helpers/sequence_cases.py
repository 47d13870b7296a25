"""Small cases of odd sizes for recurrence, attention and CTC, shared by the oracle's tests and the library's.

Arrays are float64, and the same at each call. Numbers beyond a sequence's length, in x, dy, logits and labels, are
drawn as all others are: that they have no influence is for a test to show.
"""

from typing import NamedTuple

import numpy as np

from tests.helpers.oracle.attention import visible_keys
from tests.helpers.oracle.cells import CELLS, weight_shapes

BOTH = ("forward", "reverse")


class SequenceCase(NamedTuple):
    """A case of a recurrent layer of n units, for any cell: x (m, T, n_in), lengths (m,).

    `directions` are those of `recurrence.recurrence`; the initial states are zeros unless they are `given`.
    """

    name: str
    x: np.ndarray
    lengths: np.ndarray
    n: int
    directions: tuple = ("forward",)
    given: bool = False


class Drawn(NamedTuple):
    """What a cell needs for a case, as in `recurrence.d_recurrence`; all but dy are tuples by direction.

    `weights` are dictionaries, `initial` and `dlast` states of arrays (m, n), and dy is (m, T, n for each direction).
    """

    weights: tuple
    initial: tuple
    dy: np.ndarray
    dlast: tuple


class AttentionCase(NamedTuple):
    """A case of `attention.dot_attention`: q (m, T_q, heads d), k (m, T_k, heads d), v (m, T_k, heads d_v).

    `visible` is (m, T_q, T_k), made of `key_lengths` (m,) or None and `causal`, as `attention.visible_keys` does,
    except in the cases "any_mask" and "one_row_sees_nothing", where it follows no rule.
    """

    name: str
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    heads: int
    visible: np.ndarray
    key_lengths: np.ndarray | None
    causal: bool


class CTCCase(NamedTuple):
    """A case of `ctc.ctc_loss`: z (m, T, k), lengths (m,), labels (m, U), label_lengths (m,), class 0 the blank.

    `possible` (m,) is whether each label is possible; if not, its loss is infinite.
    """

    name: str
    z: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray
    possible: np.ndarray


def sequence_cases():
    """Yield the cases of `recurrence.recurrence`; `draw` makes the rest of a case for a cell."""
    rng = np.random.default_rng(4)
    for name, (T, n_in, n), lengths, kwargs in [
        ("all_of_full_length", (5, 2, 3), (5, 5, 5), {}),
        ("all_of_full_length_given", (5, 2, 3), (5, 5, 5), dict(given=True)),
        ("mixed", (5, 2, 3), (5, 2, 3), {}),
        ("lengths_0_1_and_T_given", (5, 2, 3), (0, 5, 1), dict(given=True)),
        ("none_of_full_length_given", (5, 2, 3), (1, 3, 0), dict(given=True)),
        ("all_of_length_0_given", (5, 2, 3), (0, 0, 0), dict(given=True)),
        ("reverse", (5, 2, 3), (5, 5, 5), dict(directions=("reverse",))),
        ("reverse_mixed_given", (5, 2, 3), (3, 0, 5), dict(directions=("reverse",), given=True)),
        ("both", (5, 2, 3), (5, 5, 5), dict(directions=BOTH)),
        ("both_mixed_given", (5, 2, 3), (2, 5, 4), dict(directions=BOTH, given=True)),
        ("both_lengths_0_1_and_T", (5, 2, 3), (1, 0, 5), dict(directions=BOTH)),
        ("all_of_length_1_both_given", (3, 2, 3), (1, 1, 1), dict(directions=BOTH, given=True)),
        ("one_step_given", (1, 3, 2), (1, 0), dict(given=True)),
        ("one_example_one_input_one_unit", (3, 1, 1), (3,), {}),
        ("one_unit_both_given", (4, 3, 1), (4, 2), dict(directions=BOTH, given=True)),
        ("one_input_four_units", (3, 1, 4), (2, 3), {}),
    ]:
        yield SequenceCase(name, rng.normal(size=(len(lengths), T, n_in)), np.array(lengths), n, **kwargs)


def draw(cell, case):
    """Return the `Drawn` of a case for a cell."""
    (m, T, n_in), directions = case.x.shape, case.directions
    rng = np.random.default_rng([CELLS.index(cell), *map(ord, case.name)])

    def states():
        return tuple(rng.normal(size=(m, case.n)) for _ in cell.states)

    shapes = weight_shapes(cell, n_in, case.n).items()
    weights = tuple({name: rng.normal(size=shape) for name, shape in shapes} for _ in directions)
    zeros = tuple(np.zeros((m, case.n)) for _ in cell.states)
    initial = tuple(states() if case.given else zeros for _ in directions)
    dy, dlast = rng.normal(size=(m, T, len(directions) * case.n)), tuple(states() for _ in directions)
    return Drawn(weights, initial, dy, dlast)


def attention_cases():
    """Yield the cases of `attention.dot_attention`; of some, a query sees no key."""
    rng = np.random.default_rng(5)
    for name, (m, T_q, T_k), (heads, d, d_v), key_lengths, causal in [
        ("one_head", (2, 3, 4), (1, 3, 2), None, False),
        ("two_heads", (2, 3, 4), (2, 3, 1), None, False),
        ("three_heads_causal", (1, 5, 5), (3, 1, 2), None, True),
        ("causal_fewer_queries", (1, 3, 5), (1, 2, 3), None, True),
        ("causal_fewer_keys", (1, 5, 3), (1, 2, 3), None, True),
        ("padding_with_lengths_0_1_and_T", (3, 2, 5), (2, 2, 3), (0, 1, 5), False),
        ("causal_and_padding", (3, 4, 4), (2, 1, 1), (4, 0, 2), True),
        ("one_query_one_key", (1, 1, 1), (1, 1, 1), None, False),
        ("no_key_is_visible", (2, 3, 3), (2, 2, 2), (0, 0), False),
        ("any_mask", (3, 5, 4), (2, 2, 2), None, False),
        ("one_row_sees_nothing", (1, 3, 2), (1, 2, 2), None, False),
    ]:
        shapes = (m, T_q, heads * d), (m, T_k, heads * d), (m, T_k, heads * d_v)
        q, k, v = (rng.normal(size=shape) for shape in shapes)
        key_lengths = None if key_lengths is None else np.array(key_lengths)
        visible = visible_keys(m, T_q, T_k, key_lengths, causal)
        if name == "any_mask":
            visible = rng.uniform(size=visible.shape) < 0.5
        if name in ("any_mask", "one_row_sees_nothing"):
            visible[0, 1] = False
        yield AttentionCase(name, q, k, v, heads, visible, key_lengths, causal)


def ctc_cases():
    """Yield the cases of `ctc.ctc_loss`: at most 4^5 paths."""
    rng = np.random.default_rng(6)
    for name, (T, k), lengths, labels, label_lengths, possible in [
        ("full", (5, 3), (5, 5, 5), [(1, 2), (2, 1), (2, 2)], (2, 2, 2), (1, 1, 1)),
        ("lengths_0_1_and_T", (5, 3), (0, 1, 5), [(0, 0), (2, 0), (1, 2)], (0, 1, 2), (1, 1, 1)),
        ("empty_labels", (4, 3), (4, 2, 0), [(0,), (1,), (2,)], (0, 0, 0), (1, 1, 1)),
        ("repeats", (5, 3), (5, 4, 3), [(1, 1, 2), (1, 1, 2), (1, 1, 2)], (3, 3, 2), (1, 1, 1)),
        ("only_one_path", (5, 3), (3, 5, 1), [(1, 2, 1), (1, 1, 1), (2, 0, 0)], (3, 3, 1), (1, 1, 1)),
        ("impossible", (5, 3), (1, 2, 0), [(1, 2, 1), (2, 2, 0), (1, 0, 0)], (2, 2, 1), (0, 0, 0)),
        ("impossible_between", (5, 3), (5, 4, 4), [(1, 2, 1), (1, 1, 1), (2, 1, 2)], (3, 3, 3), (1, 0, 1)),
        ("four_classes", (4, 4), (4, 3, 4), [(3, 1, 2), (3, 3, 1), (2, 3, 3)], (3, 2, 3), (1, 1, 1)),
        ("two_classes", (5, 2), (5, 3), [(1, 1), (1, 1)], (2, 2), (1, 1)),
        ("only_the_blank", (3, 1), (3, 0), [(0,), (0,)], (0, 0), (1, 1)),
        ("one_time", (1, 4), (1,), [(3,)], (1,), (1,)),
    ]:
        z = rng.normal(size=(len(lengths), T, k))
        counts = np.array(lengths), np.array(labels), np.array(label_lengths)
        yield CTCCase(name, z, *counts, np.array(possible, bool))
