"""jaxnn: neural networks as rows of forward/backward pairs, every gradient derived by hand and proved.

Everything public is here by name; each room (`jaxnn.layer`, `jaxnn.losses`, ...) holds one family and its pure
functions.
"""

from jaxnn.contrib.row_space import Span, fit_in_span, row_span
from jaxnn.data.augmentation import crops, flips, gaussian_noise, in_turn
from jaxnn.data.batches import Batch, batch_indices
from jaxnn.data.encoding import one_hot
from jaxnn.data.examples import check_batch
from jaxnn.data.splitting import k_folds, split
from jaxnn.data.standardization import Standardizer, fit_standardizer, standardize
from jaxnn.data.streams import host_batches
from jaxnn.data.warping import bilinear, displaced, elastic, rotations, scalings, shears, shifts
from jaxnn.factories.decorator import factory
from jaxnn.losses.cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_gradient,
    binary_cross_entropy_value,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_gradient,
    sigmoid_cross_entropy_value,
    softmax_cross_entropy,
    softmax_cross_entropy_gradient,
    softmax_cross_entropy_value,
)
from jaxnn.losses.loss import Loss
from jaxnn.losses.regression import squared_error, squared_error_gradient, squared_error_value
from jaxnn.metrics.bias_variance import Diagnosis, diagnose
from jaxnn.metrics.calibration import Reliability, expected_calibration_error, reliability_curve
from jaxnn.metrics.classification import accuracy, confusion_matrix, error_rate, log_loss
from jaxnn.models.arrays import narrow_params, params_from_arrays, params_to_arrays
from jaxnn.models.feedforward import logistic_regression, mlp
from jaxnn.models.model import Model
from jaxnn.nn.activations import (
    ACTIVATIONS,
    elu,
    elu_backward,
    elu_forward,
    gelu,
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    identity,
    identity_backward,
    identity_forward,
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_forward,
    relu,
    relu_backward,
    relu_forward,
    sigmoid,
    sigmoid_backward,
    sigmoid_forward,
    silu,
    silu_backward,
    silu_forward,
    softmax,
    softmax_backward,
    softmax_forward,
    softplus,
    softplus_backward,
    softplus_forward,
    tanh,
    tanh_backward,
    tanh_forward,
)
from jaxnn.nn.composition import chain, residual
from jaxnn.nn.custom_gradients import differentiable
from jaxnn.nn.initializers import INITIALIZERS, narrow_initializer
from jaxnn.nn.layer import Layer, stateless
from jaxnn.nn.linear import dense, dense_backward, dense_forward
from jaxnn.nn.masking import first_units
from jaxnn.nn.repetition import repeat
from jaxnn.nn.reshaping import flatten, flatten_backward, flatten_forward
from jaxnn.nn.stochastic import dropout, dropout_backward, dropout_forward
from jaxnn.nn.transforms import recompute, with_dtype
from jaxnn.optim.layout import with_layout
from jaxnn.optim.loss_scaling import LossScale, loss_scale, with_loss_scale
from jaxnn.optim.nonfinite import skip_nonfinite, skipped_updates
from jaxnn.optim.optimizers import OPTIMIZERS, optimizer
from jaxnn.optim.schedules import SCHEDULES, schedule
from jaxnn.optim.transforms import max_norm
from jaxnn.population.cross_validation import CrossValidation, cross_validate
from jaxnn.population.fitting import fit_population
from jaxnn.population.hyperparameters import grid
from jaxnn.population.learning_curves import LearningCurve, learning_curve
from jaxnn.population.results import Member, Population
from jaxnn.regularizers import Penalty, elastic_net, is_any, is_weight, l1, l2, no_penalty
from jaxnn.train.augmented_objectives import augmented
from jaxnn.train.checkpoints import Checkpoint, Checkpoints
from jaxnn.train.divergence import Divergence, DivergenceWarning
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import make_epoch
from jaxnn.train.fitting import Fit, fit
from jaxnn.train.objectives import Objective, gradients_by, objective
from jaxnn.train.steps import TrainState, make_step, make_steps, train_state
from jaxnn.train.streaming import fit_stream

__version__ = "0.1.0"

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Batch",
    "Checkpoint",
    "Checkpoints",
    "CrossValidation",
    "Diagnosis",
    "Divergence",
    "DivergenceWarning",
    "EarlyStopping",
    "Fit",
    "Layer",
    "LearningCurve",
    "Loss",
    "LossScale",
    "Member",
    "Model",
    "Objective",
    "Penalty",
    "Population",
    "Reliability",
    "Span",
    "Standardizer",
    "TrainState",
    "accuracy",
    "augmented",
    "batch_indices",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_gradient",
    "binary_cross_entropy_value",
    "chain",
    "check_batch",
    "confusion_matrix",
    "crops",
    "cross_validate",
    "dense",
    "dense_backward",
    "dense_forward",
    "diagnose",
    "differentiable",
    "displaced",
    "dropout",
    "dropout_backward",
    "dropout_forward",
    "elastic",
    "elastic_net",
    "elu",
    "elu_backward",
    "elu_forward",
    "error_rate",
    "expected_calibration_error",
    "factory",
    "first_units",
    "fit",
    "fit_in_span",
    "fit_population",
    "fit_standardizer",
    "fit_stream",
    "flatten",
    "flatten_backward",
    "flatten_forward",
    "flips",
    "gaussian_noise",
    "gelu",
    "gelu_backward",
    "gelu_forward",
    "gelu_tanh_backward",
    "gelu_tanh_forward",
    "gradients_by",
    "grid",
    "host_batches",
    "identity",
    "identity_backward",
    "identity_forward",
    "in_turn",
    "is_any",
    "is_weight",
    "k_folds",
    "l1",
    "l2",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "learning_curve",
    "log_loss",
    "logistic_regression",
    "loss_scale",
    "make_epoch",
    "make_step",
    "make_steps",
    "max_norm",
    "mlp",
    "narrow_initializer",
    "narrow_params",
    "no_penalty",
    "objective",
    "one_hot",
    "optimizer",
    "params_from_arrays",
    "params_to_arrays",
    "recompute",
    "reliability_curve",
    "relu",
    "relu_backward",
    "relu_forward",
    "repeat",
    "residual",
    "rotations",
    "row_span",
    "scalings",
    "schedule",
    "shears",
    "shifts",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_gradient",
    "sigmoid_cross_entropy_value",
    "sigmoid_forward",
    "silu",
    "silu_backward",
    "silu_forward",
    "skip_nonfinite",
    "skipped_updates",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "softmax_cross_entropy_value",
    "softmax_forward",
    "softplus",
    "softplus_backward",
    "softplus_forward",
    "split",
    "squared_error",
    "squared_error_gradient",
    "squared_error_value",
    "standardize",
    "stateless",
    "tanh",
    "tanh_backward",
    "tanh_forward",
    "train_state",
    "with_dtype",
    "with_layout",
    "with_loss_scale",
]
