"""Give the arrays of a file to the layers of a network.

If modules have the names that an export gives them, they are those of the layers. Otherwise layers and modules that fit
each other by shape belong together; several of the same shapes are in the order of the numbers in their names, or of
`words`.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np

from experiments.interchange.layers import Placed, branches, empty, placed, with_arrays
from experiments.interchange.names import Contents, Modules, in_order
from experiments.interchange.tables import Row, Table, row_of
from experiments.networks.spec import Spec
from experiments.readers.errors import printable

_MOST_SHOWN = 5
_MOST_DEFAULTS = 2**20


def filled(
    spec: Spec, contents: Contents, form: ModuleType, table: Table | None = None, words: Sequence[str] = ()
) -> tuple[Any, Any]:
    """Return the params and the statistics of a network with the arrays of a file.

    Args:
      spec: the network.
      contents: of the file; if it states the layers, they are those of the network.
      form: the module of the format.
      table: of the format, if it is another than `form.TABLE`.
      words: the order of words in the names of modules.

    Raises:
      ValueError: if arrays are missing, left over, of other shapes or not finite, or if their order is open.
    """
    table, name, modules = table or form.TABLE, form.__name__.rpartition(".")[2], contents.modules
    stored = sum(array.size for arrays in modules.values() for array in arrays.values())
    if spec.n_params > 2 * stored + _MOST_DEFAULTS:  # a file may lack biases, of which there are fewer than weights
        raise ValueError(f"the network has {spec.n_params:,} params, the file {stored:,}")
    params, stats = empty(spec)
    layers = form.arranged(placed(spec, params, stats))
    rows = [(layer, row_of(table, layer, name)) for layer in with_arrays(layers)]
    if contents.spec is not None:
        found = list(modules)
    else:
        exported = list(form.modules_of(form.arrays_of(layers))) if rows else []
        found = exported if set(exported) == set(modules) else _matched(rows, modules, words)
        if found is not exported and getattr(form, "NUMBERED_BY_DEPTH", False):
            _check_branches(list(branches(layers)), rows)
    written: dict[int, str] = {}
    for (layer, row), module in zip(rows, found, strict=True):
        _fill(layer, row, module, modules[module], written)
    return jax.device_put((params, stats), may_alias=False)


def _check_branches(places: Sequence[tuple[Any, ...]], rows: Sequence[tuple[Placed, Row]]) -> None:
    """Raise ValueError if layers of equal shapes are in several branches, across which the format numbers them."""
    shapes = [_shapes(*row) for row in rows]
    for i, one in enumerate(places):
        for other, its in zip(places[:i], shapes[:i], strict=True):
            fork = next((pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]), None)
            if fork and fork[0][0] == fork[1][0] and its == shapes[i]:
                raise ValueError(
                    f"several branches have a {rows[i][0].kind} of the same shapes, and their numbers do not determine "
                    "which is which: save the model with its layers, net.save('net.keras')"
                )


def _matched(rows: Sequence[tuple[Placed, Row]], modules: Modules, words: Sequence[str]) -> list[str]:
    """Return the name of the module of each layer."""
    layers, shapes = [layer for layer, _ in rows], [_shapes(*row) for row in rows]
    found: dict[int, str] = {}
    for indices, names in _components(shapes, modules):
        if len(indices) != len(names):
            raise ValueError(_other_number(layers, shapes, indices, names, modules))
        found |= dict(zip(indices, in_order(names, words), strict=True))
    left = [name for name in modules if name not in found.values()]
    if left:
        kinds = ", ".join(layer.kind for layer in layers)
        raise ValueError(f"the network has no layer for {_described(left[0], modules)}: its layers are {kinds}")
    return [found[i] for i in range(len(layers))]


def _shapes(layer: Placed, row: Row) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Return the shape of each array there, and whether a file may lack it."""
    if row.joint is not None:
        return {name: (a.shape, name in row.joint.may_lack) for name, a in row.joint.there(layer).items()}
    return {
        array.name: (array.there(layer.arrays[name], layer).shape, array.default is not None)
        for name, array in row.arrays.items()
        if name in layer.arrays
    }


def _fits(shapes: Mapping[str, tuple[tuple[int, ...], bool]], arrays: Mapping[str, np.ndarray]) -> bool:
    needed = {name for name, (_, may_lack) in shapes.items() if not may_lack}
    return needed <= {*arrays} <= {*shapes} and all(a.shape == shapes[name][0] for name, a in arrays.items())


def _components(shapes: list[Any], modules: Modules) -> Iterator[tuple[list[int], list[str]]]:
    """Yield layers, by index, and the modules that fit them or each other's."""
    open_layers = set(range(len(shapes)))
    while open_layers:
        indices, names = {min(open_layers)}, set()
        while True:
            more = {name for name, arrays in modules.items() if any(_fits(shapes[i], arrays) for i in indices)}
            also = {i for i in open_layers if any(_fits(shapes[i], modules[name]) for name in more)} | indices
            if (more, also) == (names, indices):
                break
            indices, names = also, more
        open_layers -= indices
        yield sorted(indices), sorted(names)


def _other_number(
    layers: list[Placed], shapes: list[Any], indices: list[int], names: list[str], modules: Modules
) -> str:
    arrays = ", ".join(f"{name} {shape}" for name, (shape, _) in shapes[indices[0]].items())
    have = ", ".join(map(repr, names)) or "none such"
    if not names:
        have += f", but {'; '.join(_described(name, modules) for name in list(modules)[:_MOST_SHOWN])}"
    n = len(indices)
    return f"the network has {n} {layers[indices[0]].kind}{'s' * (n > 1)} with {arrays}, the file has {have}"


def _described(name: str, modules: Modules) -> str:
    return ", ".join(f"{printable(name and name + '.')}{array} {a.shape}" for array, a in modules[name].items())


def _fill(layer: Placed, row: Row, name: str, arrays: Mapping[str, np.ndarray], written: dict[int, str]) -> None:
    """Write the arrays of a module into those of a layer, which are views of the params.

    `written` has the names of those before by id: an array that is tied is that of several layers.
    """
    shapes, name = _shapes(layer, row), printable(name)
    if not _fits(shapes, arrays):
        expected = ", ".join(f"{array} {shape}" for array, (shape, _) in shapes.items())
        got = ", ".join(f"{array} {a.shape}" for array, a in arrays.items())
        raise ValueError(f"{name or 'the file'} must have the arrays of {layer.kind}, {expected}, got {got}")
    if row.joint is not None:
        stored = {array: np.zeros(shape, np.float32) for array, (shape, _) in shapes.items()}
        for array, values in arrays.items():
            stored[array][...] = values
            _check_finite(f"{name}.{array}", stored[array])
        for here, values in row.joint.here(stored, layer).items():
            _write(layer, here, values, f"{name}.{here}", written)
    for here, array in row.arrays.items():
        if here in layer.arrays:
            values = array.default if array.name not in arrays else array.here(arrays[array.name], layer)
            _write(layer, here, values, f"{name}.{array.name}", written)


def _write(layer: Placed, here: str, values: Any, name: str, written: dict[int, str]) -> None:
    """Write an array of a layer; raise ValueError if it is tied to one of other numbers, or not finite."""
    before = written.setdefault(id(layer.arrays[here]), name)
    if before != name and not np.array_equal(layer.arrays[here], np.float32(values)):
        raise ValueError(f"{name} must be equal to {before}, with which it is tied, got other numbers")
    layer.arrays[here][...] = values
    _check_finite(name, layer.arrays[here])


def _check_finite(name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite in float32, got inf or NaN: the weights are damaged")
