"""A few lines that use each part of an installed jaxnn: `scripts/test-wheel` runs them in an empty environment."""

import importlib.metadata
import importlib.resources
import importlib.util
import sys

import jax
import numpy as np
import optax

import jaxnn

assert jaxnn.__version__ == importlib.metadata.version("jaxnn")
assert "site-packages" in jaxnn.__file__, jaxnn.__file__
assert importlib.util.find_spec("experiments") is None
assert (importlib.resources.files("jaxnn") / "py.typed").is_file()  # type checkers read the annotations
assert importlib.metadata.entry_points(group="pytest11", name="jaxnn-gradcheck")

x = np.linspace(-2, 2, 40, dtype=np.float32)[:, None]
y = (x[:, 0] > 0).astype(np.int32)
model = jaxnn.mlp((1, 8, 1), "tanh")
objective = jaxnn.objective(model.network, model.loss)
result = jaxnn.fit(
    objective, optax.adam(0.05), model.init(jax.random.key(0)), x, y, key=jax.random.key(1), epochs=100, batch_size=20
)
accuracy = float(jaxnn.accuracy(model.predict(result.params, x), y))
assert accuracy > 0.9, accuracy

report = jaxnn.gradcheck.layer(jaxnn.dense(3), (4,), fast=True)
assert report.passed, report
nodes = len(jaxnn.graph.trace(lambda a, b: jax.numpy.sin(a) * b)(1.0, 2.0).nodes)
assert nodes > 3
page = jaxnn.graph.trace(lambda a: a * a)(2.0).html()  # its style and script are files of the package
assert "<style" in page and "<script" in page

print(f"jaxnn {jaxnn.__version__} on Python {sys.version.split()[0]}, JAX {jax.__version__}: accuracy {accuracy:.2f}")
