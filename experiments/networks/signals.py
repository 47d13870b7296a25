"""Compute the activations of a network by layer, and the cost's gradients with respect to them."""

from typing import Any, NamedTuple

import jax
import numpy as np

import jaxnn
from experiments.networks.spec import Spec
from jaxnn.marking.harvested import each_mark
from jaxnn.marking.harvesting import harvest
from jaxnn.nn.records import layer_records


class Signal(NamedTuple):
    """The activations and gradients of one layer, on a batch.

    Attributes:
      name: "a1", "a2", ... after the activation of a hidden layer; "z3", for example, of the last one.
      values: its outputs a, (m, units); for images (m, height, width, maps), (m height width, maps).
      gradients: dJ/da in the same shape, where J is the mean loss of the batch.
    """

    name: str
    values: np.ndarray
    gradients: np.ndarray


def layer_signals(spec: Spec, params: Any, batch: jaxnn.Batch) -> list[Signal]:
    """Return the signals of all layers, first to last, with the params of `spec.model()`.

    Layers with params count, each with what follows it, such as its activation: what is marked in the objective is read
    where the next one begins.
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
        Signal(name, *(_rows(each["activations"][0]) for each in (end.values, end.gradients)))
        for name, end in zip(names, ends, strict=True)
    ]


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
