"""Optimizers and schedules of optax by name, and what jaxnn adds around them."""

from jaxnn.optim.layout import with_layout
from jaxnn.optim.loss_scaling import LossScale, loss_scale, with_loss_scale
from jaxnn.optim.nonfinite import skip_nonfinite, skipped_updates
from jaxnn.optim.optimizers import OPTIMIZERS, OptimizerName, optimizer
from jaxnn.optim.schedules import SCHEDULES, ScheduleName, schedule
from jaxnn.optim.transforms import max_norm

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "LossScale",
    "OptimizerName",
    "ScheduleName",
    "loss_scale",
    "max_norm",
    "optimizer",
    "schedule",
    "skip_nonfinite",
    "skipped_updates",
    "with_layout",
    "with_loss_scale",
]
