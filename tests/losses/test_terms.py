"""Terms of a loss: the arrays that broadcast against outputs, and the errors for others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.losses.terms import beside_terms, check_counts, check_terms

Z = {"a": jnp.ones((4, 3, 2)), "b": (jnp.ones((4, 3)), jnp.ones(4))}


def test_terms_lie_beside_all_axes_that_they_lack():
    terms = {"a": jnp.arange(12.0).reshape(4, 3), "b": jnp.arange(4.0)}
    got = beside_terms(jnp.multiply, Z, terms)
    np.testing.assert_array_equal(got["a"], np.repeat(np.arange(12.0).reshape(4, 3, 1), 2, axis=2))
    np.testing.assert_array_equal(got["b"][0], np.repeat(np.arange(4.0)[:, None], 3, axis=1))
    np.testing.assert_array_equal(got["b"][1], np.arange(4.0))


@pytest.mark.parametrize("terms", [jnp.ones(4), {"a": jnp.ones((4, 3)), "b": jnp.ones(4)}, jax.tree.map(jnp.copy, Z)])
def test_first_axes_of_the_first_levels_are_terms(terms):
    check_terms(terms, Z)


TERMS = {
    "a scalar": (
        lambda z, y: z.sum(),
        r"terms of the loss must have the first axes of the outputs z, \(4, 3\), got \(\)",
    ),
    "a column": (lambda z, y: z[:, :1, None], r"the first axes of the outputs z, \(4, 3\), got \(4, 1, 1\)"),
    "other rows": (lambda z, y: z[:2, 0], r"the first axes of the outputs z, \(4, 3\), got \(2,\)"),
    "a dictionary": (lambda z, y: {"a": z[:, 0]}, "must have the structure of the outputs z or its first levels"),
}


@pytest.mark.parametrize("name", TERMS)
def test_terms_of_another_shape_raise(name):
    """They would broadcast, against dz and weights."""
    value, message = TERMS[name]
    objective = jaxnn.objective(jaxnn.nn.identity(), jaxnn.Loss(value, lambda z, y: z))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(objective.evaluate, (), (), jaxnn.Batch(jnp.ones((4, 3)), jnp.ones(4)))


def test_counts_of_0_alone_raise_with_the_place_in_the_targets():
    check_counts({"a": jnp.array([0, 1]), "b": None})
    check_counts(jnp.array([False, True]))
    jax.jit(check_counts)(jnp.zeros(2))  # traced: their values are not known
    with pytest.raises(ValueError, match=r"^y\['b'\]\[0\] must have a label that counts in the loss, got none"):
        check_counts({"a": jnp.ones(2), "b": (jnp.zeros(2),)})


@pytest.mark.parametrize("counts", [[1.0, -1.0], [1.0, np.nan], [np.inf, 0.0]])
def test_invalid_counts_raise(counts):
    with pytest.raises(ValueError, match=r"^counts\['a'\] of the loss must be finite and at least 0, got"):
        check_counts({"a": jnp.array(counts)})
