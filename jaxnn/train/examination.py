"""Examine one step of a training: whether what it computes is finite, and how large, in the order of computation."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.data.batches import Batch
from jaxnn.marking.harvested import Marks, each_mark, micro_batches
from jaxnn.nn.records import LayerRecord, layer_records
from jaxnn.train.objectives import Gradients, Objective
from jaxnn.train.steps import TrainState, make_step
from jaxnn.typing import Array, PyTree


class Size(NamedTuple):
    """Whether an array has a NaN or inf, and the largest of its finite magnitudes; 0 if it is not floating."""

    not_finite: Array
    largest: Array


class Examination(NamedTuple):
    """What a step computes.

    Attributes:
      marks: what is marked inside of it, as `Size`s.
      params, updated: the params before and after it, with a `Size` for each leaf.
      loss: its loss as a `Size`.
    """

    marks: Marks
    params: PyTree
    updated: PyTree
    loss: Size


class Quantity(NamedTuple):
    """One quantity of a step.

    Attributes:
      what, layer, layers, path: as in `Divergence`.
      sizes: of its arrays.
      sources: of the arrays that it was computed from.
    """

    what: str
    sizes: list[Size]
    sources: list[Size]
    layer: int | None = None
    layers: int | None = None
    path: str | None = None


def examine_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    gradients: Gradients,
    state: TrainState,
    batch: Batch,
) -> Examination:
    """Run one step, as `make_step` makes it, and measure what is marked in it."""
    from jaxnn.marking.harvesting import harvest  # here, so that importing jaxnn does not import jax.extend

    (after, loss), marks = harvest(make_step(objective, optimizer, gradients), _size)(state, batch)
    return Examination(marks, jax.tree.map(_size, state.params), jax.tree.map(_size, after.params), _size(loss))


def quantities(examination: Examination) -> Iterator[Quantity]:
    """Iterate over the quantities of a step in the order in which they are computed."""
    marks = list(each_mark(examination.marks))
    paths, params = _leaves(examination.params)
    for path, size in zip(paths, params, strict=True):
        yield Quantity("params", [size], params, path=path)
    grads = [one for one in marks if one.what.startswith("grads")]
    if grads:  # after them, the line search of an optimizer computes further losses
        marks = marks[: marks.index(grads[0])]
    parts = micro_batches(examination.marks)
    passes = [(f", micro-batch {i}", one) for i, one in enumerate(parts, 1)] or [("", marks)]
    passes = [(where, layer_records(one), one) for where, one in passes]
    values = defaultdict(list)
    for one in marks:
        if one.kind == "value":
            values[one.what].append(one.measured)
    z = values["z"]
    yield Quantity("inputs", values["x"], [])
    for where, layers, _ in passes:
        yield from _forward(layers, values["x"], where)
    yield Quantity("activations", z, z)
    yield Quantity("loss", values["loss"], z)
    yield Quantity("loss", values["penalty"], params)
    yield Quantity("gradient", values["loss gradient"], z)
    for where, layers, inside in passes:
        # By JAX's derivative of the loss, dz is not marked; if it is not finite, no layer is where that began.
        dz = next(([one.measured] for one in inside if (one.what, one.kind) == ("activations", "cotangent")), [])
        yield from _backward(layers, dz, where) if are_finite(dz) else ()
    yield Quantity("gradient", values["penalty gradient"], params)
    yield Quantity("loss", [examination.loss], params)
    for one in grads:
        yield Quantity("gradient", [one.measured], params, path=one.what.replace("grads", "params", 1))
    sources = params + [one.measured for one in grads]
    for path, size in zip(paths, _leaves(examination.updated)[1], strict=True):
        yield Quantity("update", [size], sources, path=path)


def are_finite(sizes: list[Size]) -> bool:
    """Return whether the arrays of these sizes have finite numbers alone."""
    return not any(size.not_finite for size in sizes)


def _forward(layers: list[LayerRecord], before: list[Size], where: str) -> Iterator[Quantity]:
    for layer in layers:
        quantity = partial(Quantity, layer=layer.number, layers=len(layers), path=layer.path + where)
        inputs, params, activations = (layer.values[what] for what in ("inputs", "params", "activations"))
        yield quantity("inputs", inputs, before + inputs)
        yield quantity("activations", activations, inputs + params)
        before = activations


def _backward(layers: list[LayerRecord], before: list[Size], where: str) -> Iterator[Quantity]:
    for layer in reversed(layers):
        quantity = partial(Quantity, layer=layer.number, layers=len(layers), path=layer.path + where)
        dy, dparams, dx = (layer.gradients[what] for what in ("activations", "params", "inputs"))
        sources = before + dy + layer.values["inputs"] + layer.values["params"]
        yield from (quantity("gradient", sizes, sources) for sizes in (dy, dparams, dx))
        before = dx


def _leaves(sizes: PyTree) -> tuple[list[str], list[Size]]:
    """Return the paths of the leaves of params, and their sizes."""
    leaves = jax.tree_util.tree_flatten_with_path(sizes, is_leaf=lambda node: isinstance(node, Size))[0]
    return [f"params{jax.tree_util.keystr(path)}" for path, _ in leaves], [size for _, size in leaves]


def _size(a: Array) -> Size:
    a = jnp.asarray(a)
    if not jnp.issubdtype(a.dtype, jnp.floating) or a.size == 0:
        return Size(jnp.array(False), jnp.zeros(()))
    largest = jnp.where(jnp.isfinite(a), jnp.abs(a), 0).max()
    # As `programs.all_finite` does, x * 0 is 0 or NaN: it compiles faster than `isfinite(x).all()`.
    return Size((a * 0).sum() != 0, largest.astype(float))
