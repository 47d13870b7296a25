"""Arrays W_1, b_1, W_2, ... as safetensors: raw numbers under jaxnn's names, for any library.

Layers with arrays are numbered in the order in which they compute: K_1, b_1, gamma_2, beta_2, mean_2, var_2, W_3, ...
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save

from experiments.interchange.channels_first import ARRAYS
from experiments.interchange.layers import Placed, empty, layers_of, placed, with_arrays
from experiments.interchange.names import Contents, Modules, grouped
from experiments.interchange.standardization import raw_inputs
from experiments.interchange.structure import text_of_network
from experiments.interchange.tables import Array, Row, arrays_there, row_of
from experiments.networks.spec import LayersSpec, Spec
from experiments.networks.storage import StoredNetwork
from experiments.readers.safetensors import read_safetensors
from jaxnn.models import params_to_arrays

OUTPUT = "model.outputs(params, x, stats)"
arranged = tuple

_OF_SEQUENCES = {
    "recurrent": ("W_x", "W_a", "b", "b_a"),
    "multi_head_attention": ("key.W", "output.W", "output.b", "query.W", "query.b", "value.W", "value.b"),
}
TABLE = {
    kind: Row(lambda layer: "", {name: Array(name, default=0.0 if name == "b" else None) for name in arrays})
    for kind, arrays in (ARRAYS | _OF_SEQUENCES).items()
}
"""All arrays have the names and the shapes that they have here."""


def arrays_of(layers: Sequence[Placed]) -> dict[str, np.ndarray]:
    """Return W_1, b_1, W_2, ... in this order."""
    arrays = {}
    for i, layer in enumerate(with_arrays(layers), start=1):
        of_layer = arrays_there(row_of(TABLE, layer, "safetensors"), layer)
        arrays |= {f"{name}_{i}": array for name, array in of_layer.items()}
    return arrays


def encode(network: StoredNetwork) -> bytes:
    """Return the bytes of the file, with a description of the arrays in its metadata."""
    spec = network.spec
    return save(arrays_of(layers_of(raw_inputs(network))), {"sizes": str(spec), "kind": spec.kind})


def code(network: StoredNetwork, file: str) -> str:
    """Return code that loads the file with jaxnn; any reader of safetensors can load it."""
    return code_by("safetensors.numpy", "load_file", network, file)


def code_by(package: str, function: str, network: StoredNetwork, file: str) -> str:
    """Return code that loads W_1, b_1, ... with that function."""
    network = raw_inputs(network)
    names = _names(network.spec)
    stats = _statistics(network.spec)
    packages = ["jaxnn", package, *(["numpy"] if "numpy." in stats and package != "numpy" else [])]
    return f"""\
import {", ".join(packages)}
{_model(network.spec)}
arrays = {package}.{function}({file!r})
names = {" ".join(names)!r}.split()
params = jaxnn.models.params_from_arrays(model.network, model.in_shape, [arrays[name] for name in names])
stats = {stats}"""


def _names(spec: Spec) -> list[str]:
    """Return the names of the arrays that `params_from_arrays` takes, in its order; of a tied array, one."""
    params, stats = empty(spec)
    names = []
    for i, layer in enumerate(with_arrays(placed(spec, params, stats)), start=1):
        for name, array in layer.arrays.items():
            array[...] = len(names)  # so that each array of params has the number of its name
            names.append(f"{name}_{i}")
    return [names[int(array.flat[0])] for array in params_to_arrays(spec.model().network, params)]


def _statistics(spec: Spec) -> str:
    """Return the expression of the statistics; those of repeated layers are stacked."""
    params, stats = empty(spec)
    for i, layer in enumerate(with_arrays(placed(spec, params, stats)), start=1):
        for name in {*layer.arrays} & _STATISTICS:
            layer.arrays[name][...] = i  # so that each entry has the number of its layer

    def expression(path: Any, leaf: np.ndarray) -> str:
        arrays = [f"arrays['{path[-1].key}_{i:.0f}']" for i in np.unique(leaf)]
        return arrays[0] if len(arrays) == 1 else f"numpy.stack([{', '.join(arrays)}]).reshape{leaf.shape}"

    tree = jax.tree_util.tree_map_with_path(expression, stats)
    return _as_text(tree)


_STATISTICS = {"mean", "var"}


def _model(spec: Spec) -> str:
    if not isinstance(spec, LayersSpec):
        return f"model = jaxnn.mlp({spec.sizes}, {spec.activation!r}, output={spec.output!r})"
    network, in_shape, imported = text_of_network(spec.network, "nn."), repr(spec.in_shape), "from jaxnn import nn"
    if spec.in_dtype != "float32":
        imported, in_shape = f"import jax\n{imported}", f"jax.ShapeDtypeStruct({in_shape}, {spec.in_dtype!r})"
    return f"""\
{imported}
network = {network}
model = jaxnn.Model(network, {in_shape}, *jaxnn.models.feedforward.OUTPUTS[{spec.output!r}])"""


def _as_text(tree: Any) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name!r}: {_as_text(entry)}" for name, entry in tree.items()) + "}"
    if isinstance(tree, tuple):
        return f"({', '.join(map(_as_text, tree))}{',' * (len(tree) == 1)})"
    return tree


def read(path: Path) -> Contents:
    """Return the arrays of a file that `encode` wrote, by layer."""
    return Contents(modules_of(read_safetensors(path)))


def modules_of(arrays: Mapping[str, np.ndarray]) -> Modules:
    """Return the arrays W_1, b_1, ... by layer."""
    names = "|".join(sorted({re.escape(array) for row in TABLE.values() for array in row.arrays}))
    return grouped(arrays, rf"(?P<array>{names})_(?P<module>\d+)", "W_1, b_1, W_2, ...")
