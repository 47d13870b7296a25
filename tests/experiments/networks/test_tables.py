"""Networks for tables: their widths, shapes, and what they compute, in NumPy."""

import jax
import numpy as np
import pytest

import jaxnn
from experiments.networks import tables


@pytest.mark.parametrize(("levels", "width"), [(2, 2), (6, 4), (51, 14), (150, 26), (464, 50), (100_000, 50)])
def test_width_is_the_rule(levels, width):
    assert tables.embedding_width(levels) == width == min(50, round(1.6 * np.exp(0.56 * np.log(levels))))


@pytest.mark.full
def test_numbers_and_rows_of_tables_are_side_by_side():
    levels = (5, 60)
    network = jaxnn.chain(*tables.embed_categories(levels), jaxnn.dense(3))
    in_shape = tables.in_shape_of(2, levels)
    params, _ = network.init(jax.random.key(0), in_shape)
    random = np.random.default_rng(0)
    x = (random.normal(size=(7, 2)).astype("float32"), *(random.integers(0, n, 7).astype("int32") for n in levels))
    assert jaxnn.nn.shapes_of(x) == in_shape
    joined = [
        np.concatenate([x[0][i], *(np.array(params[0][1 + j]["E"])[x[1 + j][i]] for j in (0, 1))]) for i in range(7)
    ]
    assert np.shape(joined) == (7, tables.embedded_size(2, levels))
    expected = np.stack(joined) @ np.asarray(params[2]["W"]).T + np.asarray(params[2]["b"])
    np.testing.assert_allclose(network.infer(params, (), x), expected, rtol=1e-5, atol=1e-6)


def test_embeddings_start_near_zero():
    params, _ = tables.embed_categories((2000,))[0].init(jax.random.key(0), tables.in_shape_of(1, (2000,)))
    assert np.std(params[1]["E"]) == pytest.approx(0.01, rel=0.02)


def test_a_table_without_categories_is_its_numbers():
    assert tables.embed_categories(()) == () and tables.in_shape_of(4, ()) == (4,)
    assert tables.embedded_size(4, ()) == 4
