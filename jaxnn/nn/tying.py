"""Tied params: one array at several places of a network, such as the vectors of words that are read and written."""

from functools import partial
from typing import Any

import jax

from jaxnn.arrays import add_cotangents
from jaxnn.constraints import Constraint, Each, ParamsTree, checked
from jaxnn.factories.decorator import factory
from jaxnn.marking.places import SHARED
from jaxnn.nn.activations import tanh
from jaxnn.nn.boundaries import run_backward, run_forward, run_infer
from jaxnn.nn.composition import chain
from jaxnn.nn.embeddings import embedding
from jaxnn.nn.layer import LAYER, Layer
from jaxnn.nn.linear import dense
from jaxnn.nn.recurrence import recurrent
from jaxnn.nn.simple_cells import simple_cell
from jaxnn.nn.stepwise import each_step
from jaxnn.typing import Array, Params

__all__ = ["tied", "untie"]

_PATH = Constraint(
    "the path of an array in a dictionary of the params, such as '0/E'",
    rejects=("", "0", "E/", 3, None),
    fix="its keys, outermost first, with / between them, are those of the params that the layer's init makes",
    test=lambda path: isinstance(path, str) and "/" in path and all(path.split("/")),
)
_SEVERAL = Constraint(
    "at least two different ones", fix="each is a place of the one array", test=lambda paths: len({*paths}) > 1
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
        E (vocabulary, n) and the dense layer W (vocabulary, n) that gives each word its logit.

    Returns:
      A `Layer` with the params of `layer`, without the arrays of all paths but the first, which is initialized as the
      layer initializes it.

    Raises:
      ValueError: if there are fewer than two different paths; at `init`, if the params have no array at one of them,
        or arrays of different shapes.

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
    places = [tuple(path.split("/")) for path in paths]
    first, *others = places
    everywhere = partial(_everywhere, places)

    def once(params):
        for keys in others:
            params = _without(params, keys)
        return params

    def init(key, in_shape):
        params, out_shape = layer.init(key, in_shape)
        _OF_ONE_SHAPE.check("arrays at the paths", [(path, _shape_at(params, path)) for path in paths])
        return once(params), out_shape

    def forward(params, x, key=None, rows=None):
        return run_forward(SHARED, layer, everywhere(params), x, key, rows)

    def backward(params, cache, dy):
        dparams, dx = run_backward(SHARED, layer, everywhere(params), cache, dy)
        total = add_cotangents(*(_at(dparams, keys) for keys in (first, *others)))
        return _with(once(dparams), first, total), dx

    def infer(params, stats, x):
        return run_infer(SHARED, layer, everywhere(params), stats, x)

    form = layer.carried and layer.carried._replace(
        layer=tied(layer.carried.layer, *paths),
        start=lambda params, m, length: layer.carried.start(everywhere(params), m, length),
    )
    return layer._replace(
        init=init, forward=forward, backward=backward, infer=infer, parts=lambda params: [params], carried=form
    )


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
      ValueError: if the layer is another.

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
    return _everywhere([tuple(path.split("/")) for path in call.arguments["paths"]], params)


def _everywhere(places: list[tuple[str, ...]], params: Params) -> Params:
    """Return params with the array at the first place at the others too."""
    first, *others = places
    array = _at(params, first)
    for keys in others:
        params = _with(params, keys, array)
    return params


def _shape_at(params: Params, path: str) -> Any:
    """Return the shape of the array at a path; raise ValueError if there is none in a dictionary."""
    *outer, last = path.split("/")
    tree = params
    for key in outer:
        entries = dict(enumerate(tree)) if isinstance(tree, tuple) else tree if isinstance(tree, dict) else {}
        tree = entries.get(int(key) if isinstance(tree, tuple) and key.isdecimal() else key, ())
    if not isinstance(tree, dict) or not hasattr(tree.get(last), "shape"):
        there = jax.tree_util.tree_flatten_with_path(params)[0]
        names = [jax.tree_util.keystr(where, simple=True, separator="/") for where, _ in there]
        raise ValueError(f"path must be that of an array of the params, one of {', '.join(names)}, got {path!r}")
    return tuple(tree[last].shape)


_OF_ONE_SHAPE = Constraint(
    "of one shape",
    fix="W of dense(vocabulary) has the shape of E after a layer with as many outputs as E has columns",
    test=lambda given: len({shape for _, shape in given}) == 1,
)


def _at(tree: Any, keys: tuple[str, ...]) -> Array:
    for key in keys:
        tree = tree[int(key)] if isinstance(tree, tuple) else tree[key]
    return tree


def _with(tree: Any, keys: tuple[str, ...], array: Array) -> Any:
    """Return the tree with the array as an entry of the dictionary that the keys lead to."""
    key, *rest = keys
    if isinstance(tree, tuple):
        i = int(key)
        return (*tree[:i], _with(tree[i], tuple(rest), array), *tree[i + 1 :])
    return {**tree, key: _with(tree[key], tuple(rest), array) if rest else array}


def _without(tree: Any, keys: tuple[str, ...]) -> Any:
    """Return the tree without that entry."""
    key, *rest = keys
    if isinstance(tree, tuple):
        i = int(key)
        return (*tree[:i], _without(tree[i], tuple(rest)), *tree[i + 1 :])
    return {
        name: _without(one, tuple(rest)) if name == key else one for name, one in tree.items() if rest or name != key
    }


_WORDS = jax.ShapeDtypeStruct((4,), "int32")

CASES = {
    "tied": (lambda: tied(chain(dense(4), tanh(), dense(4), dense(4)), "0/b", "2/b", "3/b"), (3,)),
    "tied_embedding": (
        lambda: tied(chain(each_step(embedding(5, 3)), recurrent(simple_cell(3)), each_step(dense(5))), "0/E", "2/W"),
        _WORDS,
    ),
}
