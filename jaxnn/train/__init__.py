"""Training: objective, step, epoch, and whole trainings from arrays and from streams."""

from jaxnn.train.augmented_objectives import with_augmentation
from jaxnn.train.checkpoints import Checkpoint, Checkpointer
from jaxnn.train.divergence import Divergence, DivergenceWarning
from jaxnn.train.early_stopping import EarlyStopping
from jaxnn.train.epochs import make_epoch
from jaxnn.train.evaluation import evaluator
from jaxnn.train.fitting import Fit, fit
from jaxnn.train.objectives import Objective, gradients_by, objective
from jaxnn.train.statistics import Averages, empty_averages
from jaxnn.train.steps import TrainState, make_step, make_steps, train_state
from jaxnn.train.streaming import fit_stream

__all__ = [
    "Averages",
    "Checkpoint",
    "Checkpointer",
    "Divergence",
    "DivergenceWarning",
    "EarlyStopping",
    "Fit",
    "Objective",
    "TrainState",
    "empty_averages",
    "evaluator",
    "fit",
    "fit_stream",
    "gradients_by",
    "make_epoch",
    "make_step",
    "make_steps",
    "objective",
    "train_state",
    "with_augmentation",
]
