"""Compute the activations of a network by layer, and the cost's gradients with respect to them."""

from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import NetworkSpec
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest
from jaxnn.nn.records import layer_records


class Signal(NamedTuple):
    """The activations and gradients of one layer, on a batch.

    Attributes:
      name: "a1", "a2", ... after the activation of a hidden layer; "z3", for example, of the last one.
      values: its outputs a, (m, units).
      gradients: dJ/da, (m, units), where J is the mean loss of the batch.
    """

    name: str
    values: np.ndarray
    gradients: np.ndarray


def layer_signals(spec: NetworkSpec, params: Any, batch: jaxnn.Batch) -> list[Signal]:
    """Return the signals of all layers, first to last, with the params of `spec.model()`.

    Dense layers count, each with its activation: what is marked in the objective is read where the next one begins.
    """
    model = spec.model()
    objective = jaxnn.objective(model.network, model.loss)
    _, marks = jax.jit(harvest(objective.value_and_grad, lambda array: array))(params, batch)
    records = layer_records(each_mark(jax.device_get(marks)))
    starts = [i for i, record in enumerate(records) if record.values["params"]]
    ends = [records[i - 1] for i in (*starts[1:], len(records))]
    last = "a" if spec.output == "relu" else "z"
    names = [*(f"a{l}" for l in range(1, len(ends))), f"{last}{len(ends)}"]
    return [
        Signal(name, record.values["activations"][0], record.gradients["activations"][0])
        for name, record in zip(names, ends, strict=True)
    ]
