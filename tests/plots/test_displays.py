"""Displays: the numbers that they hold and draw, on new axes and on given ones."""

import jax
import numpy as np
import optax
import pytest
import sklearn.metrics
from matplotlib import pyplot

import jaxnn
from jaxnn import plots

RNG, KEY = np.random.default_rng(0), jax.random.key(0)
Y, SCORES = RNG.integers(0, 2, 40), RNG.uniform(size=40).round(1)
WEIGHT = RNG.integers(0, 3, 40)
X = RNG.normal(size=(40, 2)).astype(np.float32)
MODEL = jaxnn.logistic_regression(2)


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def fit():
    objective = jaxnn.objective(MODEL.network, MODEL.loss)
    evaluate = jaxnn.train.evaluator(MODEL, X, Y)
    return jaxnn.fit(objective, optax.sgd(0.1), MODEL.init(KEY), X, Y, key=KEY, epochs=4, evaluate=evaluate)


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_panel_for_losses_and_one_for_each_metric(fit):
    display = plots.FitDisplay.from_fit(fit)
    assert {*display.axes_} == {"loss", "accuracy"} and len(display.figure_.axes) == 2
    assert sorted(labels(display.axes_["loss"])) == ["dev_loss", "loss"]
    drawn = {line.get_label(): line.get_xydata() for line in display.axes_["loss"].lines}
    np.testing.assert_allclose(drawn["dev_loss"], np.stack([[1, 2, 3, 4], fit.curves["dev_loss"]], 1))
    assert all(tick == int(tick) for tick in display.axes_["loss"].get_xticks())
    logarithmic = display.plot(log=True).axes_
    assert [logarithmic[name].get_yscale() for name in ("loss", "accuracy")] == ["log", "linear"]


def test_a_fit_without_reports_is_drawn_empty():
    assert plots.FitDisplay({}).plot().axes_ == {}


def test_confusion_counts_and_names():
    predicted = RNG.integers(0, 3, 40)
    display = plots.ConfusionDisplay.from_predictions(Y, predicted, class_names="abc", weight=WEIGHT)
    expected = sklearn.metrics.confusion_matrix(Y, predicted, labels=range(3), sample_weight=WEIGHT)
    np.testing.assert_allclose(display.matrix, expected)
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["a", "b", "c"]
    assert display.figure_ is display.ax_.figure
    assert plots.ConfusionDisplay.from_predictions([0, 0], [0, 4]).class_names == ["0", "1", "2", "3", "4"]
    with pytest.raises(ValueError, match="class_names must be those of the 3 classes of the matrix, got 2 names"):
        plots.ConfusionDisplay(np.eye(3), ["a", "b"])


def test_what_is_not_labels_of_the_classes_raises():
    from_predictions = plots.ConfusionDisplay.from_predictions
    assert from_predictions([0, 1], [0, 1], class_names=np.array(["a", "b"])).class_names == ["a", "b"]
    shown = from_predictions([0, 0, 1], [0, 0, 1], weight=[0.1, 0.2, 0.3]).ax_.texts
    assert [text.get_text() for text in shown] == ["0.3", "0.3"]
    for given in (dict(y=[], predicted=[]), dict(y=[0, 2], predicted=[0, 1], class_names="ab")):
        with pytest.raises(ValueError, match="must be"):
            from_predictions(**given)
    for given in ([2**20, 1], [0.5, 1], ["a", "b"], [0, 1, 1]):
        with pytest.raises(ValueError, match="must be"):
            from_predictions(given, [0, 1])


def test_the_roc_curve_and_its_area():
    display = plots.RocDisplay.from_predictions(Y, SCORES, weight=WEIGHT, name="mine")
    area = sklearn.metrics.roc_auc_score(Y, SCORES, sample_weight=WEIGHT)
    assert display.roc_auc == pytest.approx(area, rel=1e-5)
    assert np.trapezoid(display.tpr, display.fpr) == pytest.approx(area, rel=1e-5)
    np.testing.assert_array_equal(display.ax_.lines[0].get_xydata(), np.stack([display.fpr, display.tpr], 1))
    assert labels(display.ax_) == [f"mine: area {area:.3f}"]


def test_calibration_leaves_empty_bins_out():
    display = plots.CalibrationDisplay.from_predictions([0, 1, 1, 0], [0.1, 0.3, 0.8, 0.8], bins=4)
    np.testing.assert_allclose(display.ax_.lines[0].get_xydata(), [(0.1, 0), (0.3, 1), (0.8, 0.5)], rtol=1e-6)
    again = plots.CalibrationDisplay.from_predictions([0, 1, 1, 0], [0.1, 0.3, 0.8, 0.8], bins=2, ax=display.ax_)
    assert [line.get_marker() for line in again.ax_.lines] == ["o", "None", "o", "None"]


@pytest.mark.full
def test_the_boundary_is_the_models(fit):
    display = plots.BoundaryDisplay.from_model(MODEL, fit.params, X, Y)
    np.testing.assert_allclose(display.score(X), MODEL.predict_proba(fit.params, X)[:, 0])
    of_two = jaxnn.mlp((2, 3, 2), output="softmax")
    params = of_two.init(KEY)
    display = plots.BoundaryDisplay.from_model(of_two, params, X.tolist(), Y.tolist())
    np.testing.assert_allclose(display.score(X), of_two.predict_proba(params, X)[:, 1])
    of_three = jaxnn.mlp((2, 3, 3), output="softmax")
    with pytest.raises(ValueError, match=r"model must be of two classes, got outputs \(3,\)"):
        plots.BoundaryDisplay.from_model(of_three, of_three.init(KEY), X, Y)
    of_values = jaxnn.mlp((2, 3, 1), output="linear")
    with pytest.raises(ValueError, match="model must be of two classes"):
        plots.BoundaryDisplay.from_model(of_values, of_values.init(KEY), X, Y)
    with pytest.raises(ValueError, match=r"x and y must be examples \(m, 2\)"):
        plots.BoundaryDisplay.from_model(MODEL, fit.params, RNG.normal(size=(40, 3)), Y)


@pytest.mark.parametrize(
    ("shape", "image_shape", "images"),
    [((4, 6), (2, 3), (4, 2, 3)), ((4, 18), (2, 3, 3), (4, 2, 3, 3)), ((5, 5, 1, 4), None, (4, 5, 5))],
)
def test_weights_are_images_of_units(shape, image_shape, images):
    weights = RNG.normal(size=shape)
    display = plots.WeightsDisplay.from_weights(weights, image_shape, titles="abcd")
    assert display.images.shape == images
    assert [panel.get_title() for panel in display.figure_.axes[:4]] == [*"abcd"]
    unit = weights[:, :, 0, 2] if image_shape is None else weights[2].reshape(image_shape)
    np.testing.assert_array_equal(display.images[2], unit)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [((4, 6), None), ((4, 6), (2, 2)), ((4, 12), (3, 2, 2)), ((5, 5, 2, 4), None), ((4,), (4,))],
)
def test_weights_of_other_shapes_raise(shape, image_shape):
    with pytest.raises(ValueError, match="weights must be"):
        plots.WeightsDisplay.from_weights(np.zeros(shape), image_shape)


def test_all_draw_on_given_axes(fit):
    figure, axes = pyplot.subplots(2, 2)
    displays = [
        plots.ConfusionDisplay.from_predictions(Y, Y, ax=axes[0, 0]),
        plots.RocDisplay.from_predictions(Y, SCORES, ax=axes[0, 1]),
        plots.CalibrationDisplay.from_predictions(Y, SCORES, ax=axes[1, 0]),
        plots.BoundaryDisplay.from_model(MODEL, fit.params, X, Y, ax=axes[1, 1]),
    ]
    assert [display.ax_ for display in displays] == [*axes.flat]
    assert all(display.figure_ is figure for display in displays)
    again = displays[0].plot()
    assert again is displays[0] and again.figure_ is not figure


def test_what_is_not_a_fit_raises():
    with pytest.raises(ValueError, match=r"fit must be a jaxnn\.Fit"):
        plots.FitDisplay.from_fit({"loss": [1.0]})
