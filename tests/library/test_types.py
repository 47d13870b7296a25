"""The names that type checkers accept are those of the tables; scripts/types checks the rest."""

import inspect
from typing import get_args

import pytest

import jaxnn
from jaxnn.contrib.traced_widths import traced_width_mlp
from jaxnn.models.outputs import OUTPUTS
from jaxnn.optim.layout import LayoutName
from jaxnn.optim.optimizers import Coefficients
from jaxnn.population.fitting import Shuffle
from jaxnn.train.arguments import NanPolicy
from jaxnn.train.early_stopping import Mode
from jaxnn.train.objectives import Gradients, gradients_by

TABLES = {
    "activations": (jaxnn.nn.ActivationName, jaxnn.nn.ACTIVATIONS),
    "initializers": (jaxnn.nn.InitializerName, jaxnn.nn.INITIALIZERS),
    "optimizers": (jaxnn.optim.OptimizerName, jaxnn.optim.OPTIMIZERS),
    "schedules": (jaxnn.optim.ScheduleName, jaxnn.optim.SCHEDULES),
    "outputs": (jaxnn.models.OutputName, OUTPUTS),
}


@pytest.mark.parametrize(("literal", "table"), TABLES.values(), ids=TABLES)
def test_names_are_those_of_the_table(literal, table):
    assert get_args(literal) == tuple(table)


def test_coefficients_are_those_of_the_optimizers():
    taken = {name for make in jaxnn.optim.OPTIMIZERS.values() for name in inspect.signature(make).parameters}
    assert {*Coefficients.__annotations__} == taken - {"learning_rate"}


OPTIONS = {
    "gradients": (Gradients, jaxnn.fit, jaxnn.fit_stream, jaxnn.fit_population, jaxnn.make_step, gradients_by),
    "on_nan": (NanPolicy, jaxnn.fit, jaxnn.fit_stream, jaxnn.fit_population),
    "shuffle": (Shuffle | None, jaxnn.fit_population),
    "mode": (Mode, jaxnn.EarlyStopping, jaxnn.Population.best),
    "layout": (LayoutName, jaxnn.optim.with_layout),
    "output": (jaxnn.models.OutputName, jaxnn.mlp, traced_width_mlp),
}


@pytest.mark.parametrize(("name", "case"), OPTIONS.items(), ids=OPTIONS)
def test_options_have_the_type_of_their_names(name, case):
    literal, *functions = case
    for function in functions:
        assert inspect.signature(function).parameters[name].annotation == literal, function
