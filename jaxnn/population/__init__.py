"""Many trainings in one program."""

from jaxnn.population.cross_validation import CrossValidation, cross_validate
from jaxnn.population.fitting import fit_population
from jaxnn.population.hyperparameters import grid
from jaxnn.population.learning_curves import LearningCurve, learning_curve
from jaxnn.population.results import Member, Population

__all__ = [
    "CrossValidation",
    "LearningCurve",
    "Member",
    "Population",
    "cross_validate",
    "fit_population",
    "grid",
    "learning_curve",
]
