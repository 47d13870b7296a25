"""Networks with their losses, and import and export of params."""

from jaxnn.models.arrays import params_from_arrays, params_to_arrays
from jaxnn.models.convolutional import lenet, resnet
from jaxnn.models.feedforward import logistic_regression, mlp
from jaxnn.models.model import Model
from jaxnn.models.outputs import OutputName, model_from
from jaxnn.models.storage import Saved, load, save

__all__ = [
    "Model",
    "OutputName",
    "Saved",
    "lenet",
    "load",
    "logistic_regression",
    "mlp",
    "model_from",
    "params_from_arrays",
    "params_to_arrays",
    "resnet",
    "save",
]
