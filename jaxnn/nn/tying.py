"""Tied params: one array at several places of a network, such as the vectors of words that are read and written."""

from collections.abc import Iterator
from typing import Any

import jax

from jaxnn.arrays import add_cotangents
from jaxnn.constraints import Constraint, Each, ParamsTree, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import SHARED
from jaxnn.nn.activations import tanh
from jaxnn.nn.boundaries import run_backward, run_forward, run_infer, run_init
from jaxnn.nn.composition import chain
from jaxnn.nn.embeddings import embedding
from jaxnn.nn.layer import LAYER, Carried, Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.recurrence import recurrent
from jaxnn.nn.simple_cells import simple_cell
from jaxnn.nn.stepwise import each_step
from jaxnn.typing import Array, Params

__all__ = ["tied", "untie"]

_PATH = Constraint(
    "the path of an array in a dictionary of the params, such as '0/E'",
    rejects=("", "E/", 3, None),
    fix="its keys, outermost first, with / between them, are those of the params that the layer's init makes",
    test=lambda path: isinstance(path, str) and all(path.split("/")),
)
_SEVERAL = Constraint(
    "at least two, all different",
    fix="each is a place of the one array",
    test=lambda paths: len({*paths}) == len(paths) > 1,
)


@factory
@checked(layer=LAYER, paths=Each(_PATH))
def tied(layer: Layer, *paths: str) -> Layer:
    """Return the layer with one array at several places of its params: y = f(params with the array at each path).

    Derivation. The array E reaches y through each of its places, whose arrays would have the cotangents dE_1, ...,
    dE_n if they were different ones; so dE = dE_1 + ... + dE_n, as `shared` adds the dparams of its entries.

    Args:
      layer: the `Layer`.
      *paths: of arrays of one shape, the keys of the params from the outside in, such as "0/E" and "2/W": an embedding
        E (vocabulary, n) and the dense layer W (vocabulary, n) that gives each word its logit. Each array is an entry
        of a dictionary, inside of tuples and dictionaries.

    Returns:
      A `Layer` with the params of `layer`, without the arrays of all paths but the first, which is initialized as the
      layer initializes it.

    Raises:
      ValueError: if there are fewer than two paths, or a path is there twice; at `init`, if the params have no array at
        one of them, or arrays of different shapes; when called, if the params are those of `layer` itself, or others.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> network = jaxnn.chain(nn.embedding(50, 8), jaxnn.tanh(), jaxnn.dense(50))
      >>> words = jax.ShapeDtypeStruct((), "int32")
      >>> params, _ = tied(network, "0/E", "2/W").init(jax.random.key(0), words)
      >>> jax.tree.map(lambda a: a.shape, params)
      ({'E': (50, 8)}, (), {'b': (50,)})

    Sources: Press and Wolf, "Using the output embedding to improve language models", 2017; Inan, Khosravi and Socher,
    "Tying word vectors and word classifiers", 2017.
    """
    _SEVERAL.check("paths", paths)
    has_once = _with_one(paths)

    def everywhere(params):
        return _everywhere(has_once.check("params", params), paths)

    def once(params):
        for path in paths[1:]:
            params = _without(params, path.split("/"))
        return params

    def init(key, in_shape):
        params, out_shape = run_init(layer, key, in_shape)
        named = dict(_named(params))
        for path in paths:
            if path not in named:
                raise ValueError(f"path must be that of an array in a dictionary, {_one_of(named)}, got {path!r}")
        _OF_ONE_SHAPE.check("arrays at the paths", [(path, tuple(named[path].shape)) for path in paths])
        return once(params), out_shape

    def forward(params, x, key=None, rows=None):
        return run_forward(SHARED, layer, everywhere(params), x, key, rows)

    def backward(params, cache, dy):
        dparams, dx = run_backward(SHARED, layer, everywhere(params), cache, dy)
        named = dict(_named(dparams))
        total = add_cotangents(*(named[path] for path in paths))
        return _with(once(dparams), paths[0].split("/"), total), dx

    def infer(params, stats, x):
        return run_infer(SHARED, layer, everywhere(params), stats, x)

    in_pieces = layer.carried
    if in_pieces is not None:
        start = in_pieces.start
        in_pieces = Carried(
            tied(in_pieces.layer, *paths), lambda params, m, length: start(everywhere(params), m, length)
        )
    return layer._replace(init=init, forward=forward, backward=backward, infer=infer, carried=in_pieces)


_TIED = Constraint(
    "a layer that tied made",
    rejects=(dense(2), None),
    test=lambda layer: getattr(getattr(layer, "factory_call", None), "factory", None) is tied,
)


@checked(layer=_TIED, params=ParamsTree())
def untie(layer: Layer, params: Params) -> Params:
    """Return the params of the layer inside `tied`, with the array at each of its places, to use the parts of it alone.

    Args:
      layer: what `tied` returned.
      params: its params.

    Raises:
      ValueError: if the layer is another, or the params are.

    Example:
      >>> import jax, jaxnn
      >>> from jaxnn import nn
      >>> layer = tied(jaxnn.chain(nn.embedding(50, 8), jaxnn.tanh(), jaxnn.dense(50)), "0/E", "2/W")
      >>> params, _ = layer.init(jax.random.key(0), jax.ShapeDtypeStruct((), "int32"))
      >>> of_words, _, of_logits = untie(layer, params)
      >>> of_logits["W"] is of_words["E"]
      True
    """
    call: Any = getattr(layer, "factory_call", None)  # the constraint has checked it
    paths = call.arguments["paths"]
    return _everywhere(_with_one(paths).check("params", params), paths)


_OF_ONE_SHAPE = Constraint(
    "of one shape",
    fix="W of dense(vocabulary) has the shape of E after a layer with as many outputs as E has columns",
    test=lambda given: len({shape for _, shape in given}) == 1,
)


def _entries(tree: Any) -> dict[str, Any]:
    """Return the entries that a path can lead to by their keys: of a tuple, or of a dictionary."""
    if type(tree) is tuple:
        return {str(i): one for i, one in enumerate(tree)}
    return {key: one for key, one in tree.items() if _is_key(key)} if type(tree) is dict else {}


def _is_key(key: Any) -> bool:
    return isinstance(key, str) and "/" not in key


def _dictionaries(tree: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of each dictionary in dictionaries and tuples, with what their paths begin with."""
    if type(tree) is dict:
        yield prefix, _entries(tree)
    for key, one in _entries(tree).items():
        yield from _dictionaries(one, f"{prefix}{key}/")


def _named(tree: Any) -> Iterator[tuple[str, Array]]:
    """Yield the path and the array of each entry of a dictionary that is an array."""
    for prefix, entries in _dictionaries(tree):
        for key, one in entries.items():
            if hasattr(one, "shape"):
                yield f"{prefix}{key}", one


def _one_of(named: dict[str, Array]) -> str:
    return f"one of {', '.join(sorted(named))}" if named else "of which the params of the layer have none"


def _with_one(paths: tuple[str, ...]) -> Constraint:
    """Return the constraint of params that have an array at the first path, and a dictionary without one at others."""
    places = [(path[: path.rfind("/") + 1], path[path.rfind("/") + 1 :]) for path in paths]

    def fits(params):
        dictionaries = dict(_dictionaries(params))
        has_array = [last in dictionaries[outer] for outer, last in places if outer in dictionaries]
        return has_array == [True] + [False] * (len(paths) - 1)

    return Constraint(
        f"those of tied, with an array at {paths[0]!r} and none at {', '.join(map(repr, paths[1:]))}",
        fix="use those that its init makes; untie returns those of the layer inside",
        test=fits,
    )


def _everywhere(params: Params, paths: tuple[str, ...]) -> Params:
    """Return params with the array at the first path at the others too."""
    array = dict(_named(params))[paths[0]]
    for path in paths[1:]:
        params = _with(params, path.split("/"), array)
    return params


def _with(tree: Any, keys: list[str], array: Array) -> Any:
    """Return the tree with the array as an entry of the dictionary that the keys lead to."""
    key, *rest = keys
    if isinstance(tree, tuple):
        i = int(key)
        return (*tree[:i], _with(tree[i], rest, array), *tree[i + 1 :])
    return {**tree, key: _with(tree[key], rest, array) if rest else array}


def _without(tree: Any, keys: list[str]) -> Any:
    """Return the tree without that entry."""
    key, *rest = keys
    if isinstance(tree, tuple):
        i = int(key)
        return (*tree[:i], _without(tree[i], rest), *tree[i + 1 :])
    return {name: _without(one, rest) if name == key else one for name, one in tree.items() if rest or name != key}


_WORDS = jax.ShapeDtypeStruct((4,), "int32")

CASES = {
    "tied": (lambda: tied(chain(dense(4), tanh(), dense(4), dense(4)), "0/b", "2/b", "3/b"), (3,)),
    "tied_embedding": (
        lambda: tied(chain(each_step(embedding(5, 3)), recurrent(simple_cell(3)), each_step(dense(5))), "0/E", "2/W"),
        _WORDS,
    ),
}
