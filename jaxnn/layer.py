"""`Layer`, a forward/backward pair, and the combinators that build layers from layers.

A network is a row of such pairs. The forward of each takes the activations before it and gives its
own with a cache; the backward takes the cotangent of its output with that cache and gives the
cotangents of its parameters and of its input. Forward runs left to right, backward right to left,
and nothing else is needed: no tape, no tracing, no class to inherit from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.typing import Array, Cache, Key, Params, Shape


class Layer(NamedTuple):
    """Three pure functions. What they have in common (sizes, rates, slopes) their factory has captured.

    Attributes:
      init: `init(key, in_shape) -> (params, out_shape)`, shapes without the batch axis.
      forward: `forward(params, x, key=None) -> (y, cache)`. With `key=None` nothing is random:
        that is inference.
      backward: `backward(params, cache, dy) -> (dparams, dx)`: exactly the vector-Jacobian product of
        `(params, x) -> y` at the point that the cache was made at. `dparams` has the structure,
        shapes and dtypes of `params`; `dx` those of `x`.
      parts: `parts(params) -> [params of a layer, ...]`: of the layers that it is made of, in the order in which they
        are computed. A combinator says it; a layer that is made of no others leaves it, and is its only part.

    A layer is static (close over it, or make it a static argument); its params are data.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = jaxnn.dense(3)
      >>> params, out_shape = layer.init(jax.random.key(0), (5,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 5)))
      >>> dparams, dx = layer.backward(params, cache, jnp.ones_like(y))
      >>> y.shape, dparams["W"].shape, dx.shape
      ((2, 3), (3, 5), (2, 5))
    """

    init: Callable[[Key, Shape], tuple[Params, Shape]]
    forward: Callable[..., tuple[Array, Cache]]
    backward: Callable[[Params, Cache, Array], tuple[Params, Array]]
    parts: Callable[[Params], list[Params]] = lambda params: [params]


def stateless(
    forward: Callable[[Array], tuple[Array, Cache]],
    backward: Callable[[Cache, Array], Array],
    out_shape: Callable[[Shape], Shape] = lambda in_shape: in_shape,
) -> Layer:
    """A layer without parameters and without randomness, from the pure pair that defines it.

    Args:
      forward: `x -> (y, cache)`.
      backward: `(cache, dy) -> dx`.
      out_shape: an example's shape after the layer, given the shape before it; unchanged by default.

    Returns:
      A `Layer` whose params are `()`.

    Example:
      >>> import jax.numpy as jnp
      >>> square = stateless(lambda x: (x * x, x), lambda x, dy: 2 * x * dy)
      >>> y, cache = square.forward((), jnp.array([[3.0]]))
      >>> square.backward((), cache, jnp.ones_like(y))[1]
      Array([[6.]], dtype=float32)
    """
    return Layer(
        init=lambda key, in_shape: ((), out_shape(in_shape)),
        forward=lambda params, x, key=None: forward(x),
        backward=lambda params, cache, dy: ((), backward(cache, dy)),
    )


def chain(*layers: Layer) -> Layer:
    """The layers one after another: y = f_L(... f_2(f_1(x))).

    Backward is the chain rule, read from the right: with dx_L = dy, layer l turns the cotangent of its
    output into (dparams_l, dx_{l-1}), and dx_{l-1} is the cotangent of layer l-1's output.

    Args:
      *layers: at least one `Layer`.

    Returns:
      A `Layer` whose params, and whose cache, are tuples with one entry per layer. Layer i draws its
      randomness from `fold_in(key, i)`, so adding a layer at the end changes none before it.

    Raises:
      ValueError: there is no layer, or something that is not a `Layer`.

    Example:
      >>> import jax, jaxnn
      >>> network = chain(jaxnn.dense(4), jaxnn.tanh(), jaxnn.dense(1))
      >>> params, out_shape = network.init(jax.random.key(0), (3,))
      >>> out_shape, [len(p) for p in params]
      ((1,), [2, 0, 2])

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    _check_layers("chain", layers)
    return _row(layers, partial(_keys, n=len(layers)))


def chain_of_runs(*runs: tuple[tuple[Layer, ...], int]) -> Layer:
    """The chain of all layers of all runs, each run so many times over, where a run of several copies is one scan.

    Values, randomness and, for the same key, params are those of `chain(*layers)`: layer i of it all draws from
    `fold_in(key, i)`. Only the structure of params is another: that of a chain of chains, with the copies of a run
    stacked as `repeat` stacks them. So the choice of what to scan is one of speed alone.

    Args:
      *runs: (layers, n) each: a tuple of `Layer`s and how many times it comes, at least 1. Where n > 1, the layers
        keep the shape of their input.

    Returns:
      A `Layer` whose params are a tuple with one entry per run, each a tuple with one entry per layer, whose leaves
      are stacked to (n, ...) where n > 1.

    Example:
      >>> import jax, jaxnn
      >>> dense, relu = jaxnn.dense(64), jaxnn.relu()
      >>> network = chain_of_runs(((dense,), 1), ((relu, dense), 99), ((relu, jaxnn.dense(1)), 1))
      >>> params, _ = network.init(jax.random.key(0), (64,))
      >>> [run[-1]["W"].shape for run in params]
      [(64, 64), (99, 64, 64), (1, 64)]
    """
    layers = [layer for block, n in runs for _ in range(n) for layer in block]
    starts = np.cumsum([0] + [n * len(block) for block, n in runs]).tolist()

    def run_at(start, block, copy):
        return _row(block, partial(_keys, n=len(block), first=start + copy * len(block)))

    scanned = [
        run_at(start, block, 0) if n == 1 else _by_scan(partial(run_at, start, block), n)
        for start, (block, n) in zip(starts, runs, strict=False)
    ]

    def init(key, in_shape):
        drawn, out_shape = _draw(layers, _keys(key, len(layers)), in_shape)

        def params_of(start, block, n):
            copies = [list(range(start + j, start + n * len(block), len(block))) for j in range(len(block))]
            return tuple(drawn(places[0] if n == 1 else places) for places in copies)

        return tuple(params_of(start, *run) for start, run in zip(starts, runs, strict=False)), out_shape

    return _row(scanned, lambda key: jnp.broadcast_to(key, (len(scanned),)))._replace(init=init)


def repeat(layer: Layer, n: int) -> Layer:
    """n copies of one layer in a row, compiled once: y = f_n(... f_1(x)), by `lax.scan`.

    Each copy has its own params, stacked on a new leading axis of length n. Only the compilation is
    shared, so compile time does not grow with n.

    Args:
      layer: a `Layer` whose output has the shape of its input.
      n: how many copies, at least 1.

    Returns:
      A `Layer` with each leaf of params stacked to (n, ...). Of the caches, what is the same array is kept once.

    Raises:
      ValueError: n is below 1 or, at `init`, the layer changes the shape of its input.

    Example:
      >>> import jax, jaxnn
      >>> block = chain(jaxnn.dense(64), jaxnn.relu())
      >>> params, _ = repeat(block, 100).init(jax.random.key(0), (64,))
      >>> params[0]["W"].shape
      (100, 64, 64)
    """
    _check_layers("repeat", (layer,))
    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"repeat takes a whole number of n >= 1 copies, got n={n}: leave the layer out instead")

    def copy(i):
        def init(key, in_shape):
            return _init_same_shape("repeat", layer, jax.random.fold_in(key, i), in_shape), in_shape

        def forward(params, x, key=None):
            return layer.forward(params, x, None if key is None else jax.random.fold_in(key, i))

        return layer._replace(init=init, forward=forward)

    return _by_scan(copy, n)


def residual(layer: Layer) -> Layer:
    """A skip connection: y = x + f(x), so dx = dy + f's own dx, and dparams is f's.

    Args:
      layer: a `Layer` whose output has the shape of its input.

    Returns:
      A `Layer` with the params and the cache of `layer`.

    Raises:
      ValueError: at `init`, the layer changes the shape of its input.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> residual(jaxnn.identity()).forward((), jnp.array([[1.0]]))[0]
      Array([[2.]], dtype=float32)

    Source: He et al., "Deep residual learning for image recognition", 2015, equation 1.
    """
    _check_layers("residual", (layer,))

    def init(key, in_shape):
        return _init_same_shape("residual", layer, key, in_shape), in_shape

    def forward(params, x, key=None):
        y, cache = layer.forward(params, x, key)
        return x + y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(params, cache, dy)
        return dparams, dx + dy

    return Layer(init, forward, backward, layer.parts)


def recompute(layer: Layer) -> Layer:
    """Gradient checkpointing by hand: remember only the input, run the forward again in the backward.

    Values and gradients are those of `layer`. Memory between forward and backward falls from the whole
    cache to x; time grows by one forward. The key is remembered too, so dropout drops the same units.

    On a CPU, XLA merges the two forwards of one straight line all the same, as it does for `jax.checkpoint`, and then
    nothing is saved. Under `repeat` they are in two loops, which nothing merges.

    Args:
      layer: any `Layer`; the longer the chain inside, the more is saved.

    Returns:
      A `Layer` with the params of `layer` and the cache (x, key).

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = recompute(chain(jaxnn.dense(64), jaxnn.tanh(), jaxnn.dense(64), jaxnn.tanh()))
      >>> params, _ = network.init(jax.random.key(0), (8,))
      >>> y, cache = network.forward(params, jnp.ones((2, 8)))
      >>> [leaf.shape for leaf in jax.tree.leaves(cache)]
      [(2, 8)]

    Source: Chen et al., "Training deep nets with sublinear memory cost", 2016.
    """
    _check_layers("recompute", (layer,))

    def forward(params, x, key=None):
        y, _ = layer.forward(params, x, key)
        return y, (x, key)

    def backward(params, cache, dy):
        x, key = cache
        # Without the barrier XLA sees the same forward twice, merges the two, and keeps what was to be forgotten.
        params, x, dy = jax.lax.optimization_barrier((params, x, dy))
        _, cache = layer.forward(params, x, key)
        return layer.backward(params, cache, dy)

    return Layer(layer.init, forward, backward, layer.parts)


def with_dtype(layer: Layer, dtype: jnp.dtype) -> Layer:
    """The layer computed in another precision, on params and inputs that keep theirs.

    y = cast(f(cast(params), cast(x))): params (the master copy) and x are cast to `dtype` on the way in, y back
    to x's dtype on the way out. A cast's vector-Jacobian product is the cast back, so dparams comes in
    the dtype of params and dx in that of x.

    Args:
      layer: any `Layer`.
      dtype: a floating dtype, such as `jnp.bfloat16`. Integer leaves are left as they are.

    Returns:
      A `Layer` with the params of `layer`, whose cache is held in `dtype`.

    Raises:
      ValueError: the dtype is not a floating one.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> layer = with_dtype(jaxnn.dense(4), jnp.bfloat16)
      >>> params, _ = layer.init(jax.random.key(0), (3,))
      >>> y, cache = layer.forward(params, jnp.ones((2, 3)))
      >>> params["W"].dtype.name, cache.dtype.name, y.dtype.name
      ('float32', 'bfloat16', 'float32')

    Source: Micikevicius et al., "Mixed precision training", 2017, section 3.1.
    """
    _check_layers("with_dtype", (layer,))
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"with_dtype computes in a floating dtype, got {jnp.dtype(dtype).name}: try jnp.bfloat16")

    def cast(tree):
        return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)

    def forward(params, x, key=None):
        y, cache = layer.forward(cast(params), cast(x), key)
        return y.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else y, cache

    def backward(params, cache, dy):
        dparams, dx = layer.backward(cast(params), cache, dy.astype(dtype))
        # y went out in x's dtype, so dy's dtype is x's, and dx's too.
        return jax.tree.map(lambda d, p: d.astype(p.dtype), dparams, params), dx.astype(dy.dtype)

    return Layer(layer.init, forward, backward, layer.parts)


def differentiable(layer: Layer) -> Callable[..., Array]:
    """The layer as one function for use inside anybody's `jax.grad`, with the hand-derived backward as its rule.

    The plain `layer.forward` carries no rule: JAX differentiates it by itself, which makes it the honest
    witness against which a backward is proved. This one does carry the rule, so comparing
    its gradient with `layer.backward` would compare a thing with itself.

    Args:
      layer: any `Layer`.

    Returns:
      `apply(params, x, key=None) -> y`, a `jax.custom_vjp` function: reverse mode, of any order. Forward mode
      (`jax.jvp`) raises, as it does for every `custom_vjp`.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> apply = differentiable(jaxnn.tanh())
      >>> jax.grad(lambda x: apply((), x).sum())(jnp.array([[0.0]]))
      Array([[1.]], dtype=float32)
    """
    _check_layers("differentiable", (layer,))

    @jax.custom_vjp
    def apply(params, x, key):
        return layer.forward(params, x, key)[0]

    def forward(params, x, key):
        y, cache = layer.forward(params, x, key)
        return y, (params, cache)

    def backward(residuals, dy):
        dparams, dx = layer.backward(*residuals, dy)
        return dparams, dx, None

    apply.defvjp(forward, backward)
    return lambda params, x, key=None: apply(params, x, key)


def _row(layers: Sequence[Layer], keys_of: Callable[[Key], Key]) -> Layer:
    """The layers one after another, layer i drawing from `keys_of(key)[i]`."""

    def init(key, in_shape):
        drawn, out_shape = _draw(layers, keys_of(key), in_shape)
        return tuple(drawn(i) for i in range(len(layers))), out_shape

    def forward(params, x, key=None):
        _check_params(params)
        caches = []
        keys = None if key is None else keys_of(key)
        for i, (layer, layer_params) in enumerate(zip(layers, params, strict=True)):
            x, cache = layer.forward(layer_params, x, None if keys is None else keys[i])
            caches.append(cache)
        return x, tuple(caches)

    def backward(params, caches, dy):
        dparams = []
        for layer, layer_params, cache in reversed(list(zip(layers, params, caches, strict=True))):
            layer_dparams, dy = layer.backward(layer_params, cache, dy)
            dparams.append(layer_dparams)
        return tuple(reversed(dparams)), dy

    def parts(params):
        _check_params(params)
        return [part for layer, layer_params in zip(layers, params, strict=True) for part in layer.parts(layer_params)]

    def _check_params(params):
        # A list of them would do here, and come back from backward as a tuple: another structure than went in.
        if not isinstance(params, tuple) or len(params) != len(layers):
            got = f"{len(params)} entries" if isinstance(params, tuple) else f"a {type(params).__name__}"
            raise ValueError(
                f"chain of {len(layers)} layers takes a tuple of {len(layers)} params, one per layer, got {got}: "
                "use the params that this chain's init made (a layer without parameters has ())"
            )

    return Layer(init, forward, backward, parts)


def _by_scan(copy: Callable[[Array | int], Layer], n: int) -> Layer:
    """copy(0), ..., copy(n - 1) one after another, compiled once: they differ in their params and their keys alone."""

    def init(key, in_shape):
        return jax.vmap(lambda i: copy(i).init(key, in_shape)[0])(jnp.arange(n)), in_shape

    def forward(params, x, key=None):
        told = []

        def step(x, one):
            i, copy_params = one
            y, cache = copy(i).forward(copy_params, x, key)
            kept, *how = _kept(cache, x, y)
            told[:] = how  # the same in every tracing of this step
            return y, kept

        y, kept = jax.lax.scan(step, x, (jnp.arange(n), params), length=n)
        return y, _Caches(kept, y if _OUTPUT in told[1] else (), *told)

    def backward(params, caches, dy):
        def step(carry, one):
            dy, y = carry
            copy_params, kept = one
            cache = jax.tree.unflatten(caches.structure, [y if i == _OUTPUT else kept[i] for i in caches.places])
            dparams, dx = copy(0).backward(copy_params, cache, dy)
            return (dx, kept[caches.x_place] if _OUTPUT in caches.places else ()), dparams

        (dx, _), dparams = jax.lax.scan(step, (dy, caches.last), (params, caches.kept), length=n, reverse=True)
        return dparams, dx

    def parts(params):
        # `[i, ...]`, since NumPy gives a view for it whatever is left of the shape.
        copies = [jax.tree.map(lambda leaf, i=i: leaf[i, ...], params) for i in range(n)]
        return [part for copy_params in copies for part in copy(0).parts(copy_params)]

    return Layer(init, forward, backward, parts)


_OUTPUT = -1


@partial(jax.tree_util.register_dataclass, data_fields=["kept", "last"], meta_fields=["structure", "places", "x_place"])
@dataclass(frozen=True)
class _Caches:
    """The caches of copies in a row, each array once.

    What one layer caches as its output, the next caches as its input. In a chain that is one array; a scan would stack
    it as often as it is cached. So arrays that are the same are stacked once; and where a copy caches its input and its
    output, its input alone, since its output is the next copy's input, which the backward has just come by.

    Attributes:
      kept: the arrays of a copy that are stacked, (n, ...) each.
      last: the output of the last copy, or () where outputs are not asked for.
      structure: of one copy's cache.
      places: for each leaf of that, which of `kept` it is, or _OUTPUT.
      x_place: which of `kept` is the copy's input.
    """

    kept: list[Array]
    last: Array | tuple[()]
    structure: jax.tree_util.PyTreeDef
    places: tuple[int, ...]
    x_place: int | None


def _kept(cache: Cache, x: Array, y: Array) -> tuple[list[Array], jax.tree_util.PyTreeDef, tuple[int, ...], int | None]:
    """What of one copy's cache is to be stacked; the structure, places and x_place of `_Caches`."""
    leaves, structure = jax.tree.flatten(cache)
    has_x = any(leaf is x for leaf in leaves)
    kept, places, place_of = [], [], {}
    for leaf in leaves:
        if has_x and leaf is y and y is not x:
            places.append(_OUTPUT)
            continue
        if id(leaf) not in place_of:
            place_of[id(leaf)] = len(kept)
            kept.append(leaf)
        places.append(place_of[id(leaf)])
    return kept, structure, tuple(places), place_of.get(id(x))


def _draw(layers: Sequence[Layer], keys: Key, in_shape: Shape) -> tuple[Callable[[int | list[int]], Params], Shape]:
    """Fresh params of a row of layers, and the shape after it. `drawn(i)` are layer i's; `drawn([i, j])` two, stacked.

    Equal layers on equal shapes are drawn by one loop over their keys. The numbers are those of a draw for each, but it
    compiles once, and compiling draws would be most of the time to a deep network's first step.
    """
    shapes, alike = [tuple(in_shape)], {}
    for i, layer in enumerate(layers):
        places = alike.setdefault((id(layer.init), shapes[i]), [])
        shapes.append(shapes[places[0] + 1] if places else tuple(_out_shape(layer, keys[i], shapes[i])))
        places.append(i)
    of_layer = {}
    for places in alike.values():
        draw = partial(_params, layers[places[0]], shapes[places[0]])
        params = draw(keys[places[0]]) if len(places) == 1 else jax.lax.map(draw, keys[np.array(places)])
        of_layer |= {place: (params, None if len(places) == 1 else i) for i, place in enumerate(places)}

    def drawn(place):
        params, i = of_layer[np.ravel(place)[0]]
        if i is None:
            return params
        at = i if np.ndim(place) == 0 else np.array([of_layer[one][1] for one in place])
        return jax.tree.map(lambda leaf: leaf[at], params)

    return drawn, shapes[-1]


def _params(layer: Layer, in_shape: Shape, key: Key) -> Params:
    return layer.init(key, in_shape)[0]


def _out_shape(layer: Layer, key: Key, in_shape: Shape) -> Shape:
    """The shape after the layer; nothing is drawn."""
    told = []
    jax.eval_shape(lambda key: told.append(layer.init(key, in_shape)[1]), key)
    return told[0]


def _keys(key: Key, n: int, first: Array | int = 0) -> Key:
    # By index, not by `split`: a layer added at the end leaves the streams before it as they were.
    return jax.vmap(partial(jax.random.fold_in, key))(first + jnp.arange(n))


def _check_layers(name: str, layers: tuple[Layer, ...]) -> None:
    if not layers:
        raise ValueError(f"{name} takes at least one Layer, got none")
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            fix = "call the factory (`relu()`, not `relu`)" if callable(layer) else "pass layers, such as dense(10)"
            raise ValueError(f"{name} takes Layers, but argument {i} is {layer!r}: {fix}")


def _init_same_shape(name: str, layer: Layer, key: Key, in_shape: Shape) -> Params:
    params, out_shape = layer.init(key, in_shape)
    if tuple(out_shape) != tuple(in_shape):
        raise ValueError(
            f"{name} needs a layer whose output has the shape of its input, got {in_shape} -> {out_shape}: "
            "add a dense layer that brings the shape back"
        )
    return params
