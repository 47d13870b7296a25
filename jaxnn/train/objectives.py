"""The objective: network, loss and regularizer joined, by the only mean of a loss in training, that of `means.py`.

Down to the loss everything runs forward; from the loss's gradient on, backward. `value` is the plain function, for
`jax.grad` to differentiate; `value_and_grad` is the gradient derived by hand. Both have the same arguments, so one can
replace the other.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, cast, get_args

import jax
import jax.numpy as jnp

from jaxnn.arrays import promote_large_integers, zero_cotangent
from jaxnn.constraints import Constraint, Count, Flag, Instance, Nothing, OneOf, ParamsTree, checked
from jaxnn.data.batches import BATCH, Batch, number_of_examples
from jaxnn.data.weights import counted, relative
from jaxnn.explicit_axes import as_rows, like, on_any_axes, whole
from jaxnn.factories.decorator import completed_by, derived_field, factory, factory_made
from jaxnn.losses.loss import Loss
from jaxnn.losses.terms import check_counts, check_terms
from jaxnn.marking.marks import mark
from jaxnn.marking.places import NETWORK
from jaxnn.nn.boundaries import run_backward, run_forward
from jaxnn.nn.carrying import carried, start_carry
from jaxnn.nn.layer import LAYER, Layer, observes
from jaxnn.regularizers import Regularizer, no_regularizer
from jaxnn.train.logits import warn_of_probabilities
from jaxnn.train.means import mean_of, shared, shares_of
from jaxnn.train.micro_batches import gradient_in_parts, parts_of, value_in_parts
from jaxnn.train.outputs import shapes_of_outputs
from jaxnn.typing import Array, Params, PyTree, Statistics

Gradients = Literal["hand", "auto"]
"""Derived by hand, or by JAX."""
ValueAndGrad = Callable[..., tuple[tuple[Array, Statistics], Params]]


class Continued(NamedTuple):
    """What an objective with a carry returns instead of statistics.

    Attributes:
      stats: what the network observed.
      carry: what it remembers, for the batch after.
    """

    stats: Statistics
    carry: PyTree


def no_carry(params: Params, batch: Batch) -> PyTree:
    """Return `()`: the default of `Objective.start`."""
    return ()


@factory_made
class Objective(NamedTuple):
    """What training minimizes.

    Attributes:
      value: `value(params, batch, key=None) -> (scalar, stats)`, as in training; stats is what the network observed
        in this batch, `()` if nothing.
      value_and_grad: `value_and_grad(params, batch, key=None, scale=None) -> ((scalar, stats), dparams)`, derived by
        hand, as `jax.value_and_grad(value, has_aux=True)`; dparams has the structure, shapes and dtypes of params. With
        a scale, a scalar, the backward computes scale · dparams, which is divided by the scale at the end:
        `with_loss_scale`. Steps pass it only if there is one.
      evaluate: `evaluate(params, stats, batch) -> scalar`, as in inference: without randomness, and with the
        statistics of training. By default the scalar of `value`.
      check: `check(params, batch)` raises a ValueError if concrete data do not fit the network or the loss, which a
        compiled program could not report. Nothing is computed. By default it accepts everything.
      observes: False if the statistics are always `()`, which is then known without a trace.
      start: `start(params, batch) -> carry`, the zeros at which every epoch begins; of the batch only the number of
        examples is read. With another than the default, `()`, `value` and `value_and_grad` begin at `batch.carry`, and
        return `Continued(stats, carry)` instead of stats.
    """

    value: Callable[..., tuple[Array, Statistics]]
    value_and_grad: ValueAndGrad
    evaluate: Callable[[Params, Statistics, Batch], Array] = cast(Any, None)  # see `derived_field`
    check: Callable[[Params, Batch], None] = lambda params, batch: None
    observes: bool = True
    start: Callable[[Params, Batch], PyTree] = no_carry


def _completed(objective: Any) -> Any:
    """Return the objective with functions that run on explicit axes too."""
    return objective._replace(
        value=on_any_axes(objective.value, lambda outputs, params, batch, *_: as_rows(outputs, batch.x)),
        value_and_grad=on_any_axes(
            objective.value_and_grad,
            lambda outputs, params, batch, *_: (as_rows(outputs[0], batch.x), like(outputs[1], params)),
        ),
        evaluate=objective[2] and on_any_axes(objective[2], lambda value, *_: whole(value)),
    )


completed_by(Objective, _completed)
derived_field(Objective, "evaluate", lambda objective: lambda params, stats, batch: objective.value(params, batch)[0])

OBJECTIVE = Constraint(
    "a jaxnn.Objective",
    rejects=(None, 3, lambda params, batch: 0),
    fix="jaxnn.objective(model.network, model.loss)",
    test=lambda given: callable(getattr(given, "value", None)) and hasattr(given, "value_and_grad"),
)
"""The constraint of an objective: anything with `value` and `value_and_grad`."""

GRADIENTS = OneOf(get_args(Gradients))

_ONE_PART = Constraint(
    "1 for an objective with a carry",
    fix="pieces of sequences are short already: use smaller batches",
    test=lambda n: n == 1,
)

_FLOATS = Constraint(
    "floats",
    fix="steps would be rounded to nothing",
    test=lambda leaf: jnp.issubdtype(getattr(leaf, "dtype", None) or type(leaf), jnp.floating),
)


@factory
@checked(
    network=LAYER,
    loss=Instance(Loss, fix="jaxnn.squared_error(), or model.loss"),
    regularizer=Instance(Regularizer, fix="jaxnn.l2(0.01)") | Nothing(),
    carry=Flag(),
    micro_batches=Count(),
)
def objective(
    network: Layer,
    loss: Loss,
    regularizer: Regularizer | None = None,
    carry: bool = False,
    micro_batches: int = 1,
) -> Objective:
    """Make the objective J(params) = Σ_i w_i L(z_i, y_i) / Σ_i w_i + regularizer(params), with z = network(x).

    If the loss has several terms for each example, such as one for each token, or states what each counts, c, the mean
    is Σ w c L / Σ w c over all of them. If its terms are a pytree, the means of its arrays are added.

    If the batch has a `normalizer` N, the mean is multiplied by Σ_i w_i / N. A common factor of the weights (and the
    normalizer) changes nothing, however large or small, in any dtype; a w_i that underflows relative to the largest
    counts as 0.

    Derivation of the gradient. J depends on z_i only through w_i L_i/Σw, so dz_i = w_i/Σw · ∂L_i/∂z_i, which is 1/m
    times the loss's gradient if all weights are equal; in general, each term's dz is multiplied by w c/Σ w c. The
    network's backward turns dz into dparams, and the regularizer's gradient is added.

    An example of weight 0, or a term that counts 0, changes nothing, exactly: its loss and its dz are set to 0. (The
    exception is an example whose activations overflow, since dW = dzᵀ a is then 0 · inf; with JAX's gradient of
    `value`, also one whose loss has an infinite slope.) If nothing counts, the mean loss and its gradient are 0.

    Args:
      network: the `Layer` from inputs to the loss's logits or values.
      loss: the `Loss`.
      regularizer: a `Regularizer` on params; `None` for none.
      carry: whether a batch begins where the one before ended, example by example: truncated backpropagation through
        time of long sequences in pieces, as `jaxnn.data.pieces` cuts them. The gradient stops where a piece begins. An
        epoch begins at zeros, and so does `evaluate`.
      micro_batches: in how many parts a batch is computed, one after another, so that forward and backward keep the
        cache of one part: the gradients add up to those of the batch. Layers that look across examples, as batch
        normalization, see a part at a time, and random ones draw for each part separately.

    Returns:
      An `Objective`. `value` and `value_and_grad` take a random key if the network is random, as with dropout;
      `evaluate` is without. With a carry they return (scalar, `Continued(stats, carry)`).

    Raises:
      ValueError: if a network, loss or regularizer is of another type, or, with a carry, the network cannot continue
        from an earlier piece, or there are several micro-batches; when called, if the batch is not a `Batch`, or is
        empty.

    Example:
      >>> import jax, jax.numpy as jnp, jaxnn
      >>> network = jaxnn.dense(1, init="zeros")
      >>> params, _ = network.init(jax.random.key(0), (2,))
      >>> batch = jaxnn.Batch(x=jnp.array([[1.0, 2.0], [3.0, 4.0]]), y=jnp.array([0, 1]))
      >>> (value, stats), grads = objective(network, jaxnn.sigmoid_cross_entropy()).value_and_grad(params, batch)
      >>> print(value, grads["W"])
      0.6931472 [[-0.5 -0.5]]
    """
    regularizer = no_regularizer() if regularizer is None else regularizer
    warn_of_probabilities(network, loss)

    trained = carried(network) if carry else network
    _ONE_PART.check("micro_batches", micro_batches if carry else 1)

    def forward_part(params, x, key, rows):
        z, cache = run_forward(NETWORK, network, params, x, key, rows if network.across else None)
        return z, cache, network.observe(cache)

    def backward(layer, params, cache, dz):
        dparams, _ = run_backward(NETWORK, layer, params, cache, dz)
        check_gradients(dparams, params)
        return dparams

    def with_penalty(params, mean):
        return mark("loss", mean) + mark("penalty", regularizer.value(params))

    def with_its_gradient(params, dparams, scale):
        return jax.tree.map(jnp.add, _divided(dparams, scale), mark("penalty gradient", regularizer.gradient(params)))

    @checked(params=ParamsTree(), batch=BATCH)
    def parts(params, batch, key):
        return parts_of(micro_batches, forward_part, loss, params, batch, key)

    def value_of_parts(params, batch, key=None):
        mean, observed = value_in_parts(forward_part, loss, params, parts(params, batch, key), key)
        return with_penalty(params, mean), observed

    def value_and_grad_of_parts(params, batch, key=None, scale=None):
        given = params, parts(params, batch, key), key
        mean, observed, dparams = gradient_in_parts(
            forward_part, partial(backward, network), loss, lambda dz: _times(dz, scale), *given
        )
        return (with_penalty(params, mean), observed), with_its_gradient(params, dparams, scale)

    def start(params, batch):
        return start_carry(network, params, number_of_examples(batch))

    def value(params, batch, key=None):
        z, _, observed = forward(params, batch, key)
        return measured(params, batch, z)[0], observed

    @checked(params=ParamsTree(), batch=BATCH)
    def evaluate(params, stats, batch):
        return measured(params, batch, network.infer(params, stats, batch.x))[0]

    def value_and_grad(params, batch, key=None, scale=None):
        z, cache, observed = forward(params, batch, key)
        total, shares = measured(params, batch, z)
        dz = mark("loss gradient", _times(shared(loss.gradient(z, batch.y), shares), scale))
        if carry:  # what it remembers matters for later batches, where the gradient stops
            dz = dz, jax.tree.map(zero_cotangent, observed.carry)
        return (total, observed), with_its_gradient(params, backward(trained, params, cache, dz), scale)

    @checked(params=ParamsTree(), batch=BATCH)
    def forward(params, batch, key):
        rows = relative(batch.weight) if network.across and batch.weight is not None else None
        x = mark("x", batch.x)
        if carry:
            x = x, batch.carry if jax.tree.leaves(batch.carry) else start(params, batch)
        z, cache = run_forward(NETWORK, trained, params, x, key, rows)
        observed = trained.observe(cache)
        if carry:
            z, after = z
            observed = Continued(observed, after)
        return mark("z", z), cache, observed

    def measured(params, batch, z):
        terms = loss.value(z, batch.y)
        check_terms(terms, z)
        shares = shares_of(batch, terms, loss.counts and loss.counts(z, batch.y))
        return with_penalty(params, mean_of(terms, shares)), shares

    @checked(params=ParamsTree(), batch=BATCH)
    def check(params, batch):
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            _FLOATS.check(f"params{jax.tree_util.keystr(path)}", leaf)
        params = jax.tree.map(promote_large_integers, params)
        z, y = shapes_of_outputs(network, params, batch.x), jax.tree.map(lambda y: counted(y, batch.weight), batch.y)
        # Lengths that the network passes on are numbers, other outputs shapes.
        z = jax.tree.map(lambda a: a if isinstance(a, jax.ShapeDtypeStruct) else counted(a, batch.weight), z)
        loss.check(z, y)
        counts = loss.counts
        if counts is None or batch.normalizer is not None:
            return
        if any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(z)):
            jax.eval_shape(lambda z: counts(z, y), z)  # lengths among the outputs are known in training alone
        else:
            with jax.ensure_compile_time_eval():  # labels are concrete where a population traces a member
                check_counts(counts(z, y))

    computed = (value_of_parts, value_and_grad_of_parts) if micro_batches > 1 else (value, value_and_grad)
    return Objective(*computed, evaluate, check, observes(network), start if carry else no_carry)


@checked(objective=OBJECTIVE, gradients=GRADIENTS)
def gradients_by(objective: Objective, gradients: Gradients = "hand") -> ValueAndGrad:
    """Return the objective's `value_and_grad(params, batch, key=None)`, hand-derived or JAX's.

    Args:
      objective: an `Objective`.
      gradients: "hand" for the hand-derived, "auto" for `jax.value_and_grad` of its value. Under `jit` they cost the
        same.

    Returns:
      A function `(params, batch, key=None, scale=None) -> ((scalar, stats), dparams)`, dparams a pytree in the shape of
      params.

    Raises:
      ValueError: if `gradients` is another word, or the objective not an `Objective`.

    Example:
      >>> import jax.numpy as jnp, jaxnn
      >>> square = Objective(
      ...     lambda w, batch, key=None: (w**2, ()), lambda w, batch, key=None, scale=None: ((w**2, ()), 2 * w)
      ... )
      >>> [by(jnp.array(3.0), None)[1].item() for by in (gradients_by(square, "hand"), gradients_by(square, "auto"))]
      [6.0, 6.0]
    """
    return objective.value_and_grad if gradients == "hand" else _automatic(objective)


def check_gradients(grads: Params, params: Params) -> None:
    """Raise ValueError unless gradients are in the structure and shapes of params, for updates would add axes."""
    if jax.tree.structure(grads) != jax.tree.structure(params):
        got, expected = (jax.tree.map(jnp.shape, tree) for tree in (grads, params))
        raise ValueError(f"gradients must have the structure of params, {expected}, got {got}: check the backward")
    for (path, param), grad in zip(jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(grads), strict=True):
        if jnp.shape(grad) != jnp.shape(param):
            raise ValueError(
                f"the gradient of params{jax.tree_util.keystr(path)} must have its shape, {jnp.shape(param)}, got "
                f"{jnp.shape(grad)}: does the backward sum over the examples?"
            )


def _automatic(objective: Objective) -> ValueAndGrad:
    def value_and_grad(params, batch, key=None, scale=None):
        def scaled(params):
            value, stats = objective.value(params, batch, key)
            return _times(value, scale), (value, stats)

        (_, value_and_stats), grads = jax.value_and_grad(scaled, has_aux=True)(params)
        return value_and_stats, _divided(grads, scale)

    return value_and_grad


def _times(tree: PyTree, scale: Array | None) -> PyTree:
    return tree if scale is None else jax.tree.map(lambda a: a * jnp.asarray(scale, a.dtype), tree)


def _divided(grads: Params, scale: Array | None) -> Params:
    # In half precision, the quotient itself would vanish.
    return grads if scale is None else jax.tree.map(lambda g: (g / scale).astype(g.dtype), grads)
