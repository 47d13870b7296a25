"""The curves of a run in panels: which metrics share one, and what has which color and pattern."""

import pytest

from experiments.runs.curves import best_of, metric_parts, panels_of, read_curves


@pytest.mark.parametrize(
    ("name", "quantity", "variant", "best"),
    [
        ("loss", "loss", "", "min"),
        ("dev_loss", "loss", "dev", "min"),
        ("held_out_loss", "loss", "held out", "min"),
        ("val_loss", "loss", "dev", "min"),
        ("train_accuracy", "accuracy", "", "max"),
        ("dev_accuracy_median", "accuracy", "dev median", "max"),
        ("dev_r_squared", "r squared", "dev", "max"),
        ("cost_seeds_lowest", "cost", "seeds lowest", "min"),
        ("error", "error", "", "min"),
        ("test", "test", "", ""),
        ("maximum_norm", "maximum norm", "", ""),
    ],
)
def test_names_of_metrics(name, quantity, variant, best):
    assert metric_parts(name) == (quantity, variant)
    assert best_of(quantity) == best


def test_networks_keep_their_colors_and_data_sets_have_separate_panels():
    lines = [
        {"data": data, "network": network, "epoch": 1, "loss": 1.0, "dev_loss": 0.5, "dev_accuracy": 0.75}
        for data, networks in (("a", ("x", "y")), ("b", ("y", "z")))
        for network in networks
    ]
    panels = panels_of(read_curves(lines))
    assert [(panel.title, panel.x, panel.y) for panel in panels] == [
        *(("a", "epoch", "loss"), ("a", "epoch", "accuracy"), ("b", "epoch", "loss"), ("b", "epoch", "accuracy")),
    ]
    assert [(line.name, line.color, line.dash) for line in panels[2].lines] == [
        *(("y: loss", 1, 0), ("y: dev loss", 1, 1), ("z: loss", 2, 0), ("z: dev loss", 2, 1)),
    ]
    assert [(line.name, line.color, line.dash) for line in panels[1].lines] == [("x", 0, 1), ("y", 1, 1)]


def test_one_training_has_a_color_for_each_part_of_the_data():
    loss, accuracy = panels_of(read_curves([{"epoch": 1, "loss": 1.0, "dev_loss": 2.0, "dev_accuracy": 0.5}]))
    assert [(line.name, line.color, line.dash) for line in loss.lines] == [("loss", 0, 0), ("dev loss", 1, 1)]
    assert [(line.color, line.dash) for line in accuracy.lines] == [(1, 1)]


def test_many_trainings_have_a_panel_each_and_repeated_colors_other_patterns():
    def lines(n):
        return [{"network": str(i), "epoch": epoch, "loss": 1.0 / epoch} for i in range(n) for epoch in (1, 2)]

    (panel,) = panels_of(read_curves(lines(12)))
    assert [(line.color % 10, line.dash) for line in panel.lines[:2] + panel.lines[10:]] == [
        *((0, 0), (1, 0), (0, 1), (1, 1)),
    ]
    assert [panel.title for panel in panels_of(read_curves(lines(21)))] == [str(i) for i in range(21)]


@pytest.mark.parametrize(("values", "log"), [((1.0, 0.05), True), ((1.0, 0.5), False), ((1.0, 0.0), False)])
def test_costs_of_many_sizes_have_a_logarithmic_axis(values, log):
    (panel,) = panels_of(read_curves([{"epoch": i, "loss": value} for i, value in enumerate(values)]))
    assert panel.log == log
