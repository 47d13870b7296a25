"""jaxnn: neural networks as rows of forward/backward pairs, every gradient derived by hand and proved.

What people type most is here; each package holds the rest of its family:

- `jaxnn.nn`: layers and the combinators that make layers of layers; `jaxnn.functional`: their pure functions
- `jaxnn.losses`, `jaxnn.regularizers`, `jaxnn.metrics`
- `jaxnn.models`: networks with their losses, files of them, and params in and out
- `jaxnn.data`: batches, splits, standardization, streams, augmentation
- `jaxnn.optim`: optimizers and schedules by name, loss scaling, skipping what is not finite
- `jaxnn.train`: objectives, steps, epochs, `fit` and `fit_stream`, checkpoints, early stopping
- `jaxnn.parallel`: meshes of devices, rows split over them, params whole on each or split
- `jaxnn.population`: many trainings in one program, cross-validation, learning curves
- `jaxnn.decoding`, `jaxnn.gradcheck`, `jaxnn.graph`, `jaxnn.contrib`: imported when they are first used
- `jaxnn.plots` and `jaxnn.sklearn`, estimators in scikit-learn's interface: so are these, which need other packages
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jaxnn import data, functional, losses, metrics, models, nn, optim, parallel, population, regularizers, train
from jaxnn.data import Batch, split, standardize
from jaxnn.factories.decorator import factory
from jaxnn.losses import Loss, sigmoid_cross_entropy, softmax_cross_entropy, squared_error
from jaxnn.metrics import accuracy
from jaxnn.models import Model, load, logistic_regression, mlp, save
from jaxnn.nn import (
    Layer,
    chain,
    dense,
    differentiable,
    dropout,
    flatten,
    gelu,
    leaky_relu,
    relu,
    remat,
    repeat,
    residual,
    sigmoid,
    silu,
    softmax,
    stateless,
    tanh,
    with_dtype,
)
from jaxnn.optim import optimizer
from jaxnn.population import Member, Population, cross_validate, fit_population, grid
from jaxnn.regularizers import l1, l2
from jaxnn.train import (
    Checkpointer,
    EarlyStopping,
    Fit,
    Objective,
    TrainState,
    fit,
    fit_stream,
    make_step,
    objective,
    train_state,
)

if TYPE_CHECKING:
    from jaxnn import contrib, decoding, gradcheck, graph
    from jaxnn import plots as plots
    from jaxnn import sklearn as sklearn

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Checkpointer",
    "EarlyStopping",
    "Fit",
    "Layer",
    "Loss",
    "Member",
    "Model",
    "Objective",
    "Population",
    "TrainState",
    "accuracy",
    "chain",
    "contrib",
    "cross_validate",
    "data",
    "decoding",
    "dense",
    "differentiable",
    "dropout",
    "factory",
    "fit",
    "fit_population",
    "fit_stream",
    "flatten",
    "functional",
    "gelu",
    "gradcheck",
    "graph",
    "grid",
    "l1",
    "l2",
    "leaky_relu",
    "load",
    "logistic_regression",
    "losses",
    "make_step",
    "metrics",
    "mlp",
    "models",
    "nn",
    "objective",
    "optim",
    "optimizer",
    "parallel",
    "population",
    "regularizers",
    "relu",
    "remat",
    "repeat",
    "residual",
    "save",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "split",
    "squared_error",
    "standardize",
    "stateless",
    "tanh",
    "train",
    "train_state",
    "with_dtype",
]


if not TYPE_CHECKING:  # a type checker would take every name for defined

    def __getattr__(name: str) -> Any:
        if name in ("contrib", "decoding", "gradcheck", "graph", "plots", "sklearn"):
            return import_module(f"jaxnn.{name}")
        raise AttributeError(f"module 'jaxnn' has no attribute {name!r}")
