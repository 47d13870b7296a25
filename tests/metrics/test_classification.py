"""Classification metrics against NumPy and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

import jaxnn
from tests.helpers.programs import compiled

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
Y, PREDICTED, WEIGHT = RNG.integers(0, 4, 50), RNG.integers(0, 4, 50), RNG.uniform(size=50)
PROBABILITIES = RNG.dirichlet(np.ones(4), 50)


@pytest.mark.parametrize("weight", [None, WEIGHT, np.arange(50) % 2])
def test_accuracy_is_scikit_learns(weight):
    right = sklearn.metrics.accuracy_score(Y, PREDICTED, sample_weight=weight)
    for labels in (Y, Y[:, None], Y.astype(np.uint8), Y.astype(np.float32)):
        np.testing.assert_allclose(jaxnn.accuracy(PREDICTED, labels, weight), right, rtol=1e-6)
        np.testing.assert_allclose(jaxnn.metrics.error_rate(PREDICTED, labels, weight), 1 - right, rtol=1e-6)


def test_accuracy_of_independent_labels_is_their_share():
    predicted, y = RNG.integers(0, 2, (2, 20, 3))
    np.testing.assert_allclose(jaxnn.accuracy(predicted, y), (predicted == y).mean(), rtol=1e-6)


def test_accuracy_in_a_program():
    assert compiled(jaxnn.accuracy)(jnp.array([1, 1, 0]), jnp.array([1, 1, 0])) == 1


@pytest.mark.representatives("shape0", "shape6")
@pytest.mark.parametrize("shape", [(41,), (47,), (60,), (898,), (1257,), (3, 41), (41, 47)])
def test_all_right_is_exactly_one_and_all_wrong_zero(shape):
    """Not 0.99999994, and no error of -5e-8, also where the compiler sees the number of examples."""
    right, wrong = np.ones(shape, int), np.zeros(shape, int)
    both = compiled(lambda predicted, y: (jaxnn.accuracy(predicted, y), jaxnn.metrics.error_rate(predicted, y)))
    assert both(right, right) == (1, 0)
    assert both(wrong, right) == (0, 1)
    assert (jaxnn.accuracy(right, right), jaxnn.metrics.error_rate(right, right)) == (1, 0)
    side_by_side = compiled(jax.vmap(lambda one: (jaxnn.accuracy(one, right), jaxnn.metrics.error_rate(one, right))))
    np.testing.assert_array_equal(
        side_by_side(np.stack([right] * 4 + [wrong] * 4)), [[1] * 4 + [0] * 4, [0] * 4 + [1] * 4]
    )


@pytest.mark.parametrize(
    ("predicted", "y"), [((5,), (4,)), ((5, 1), (5,)), ((5,), (5, 2)), ((5,), (1, 5)), ((0,), (0,)), ((), ())], ids=str
)
def test_accuracy_raises_for_shapes_that_do_not_fit(predicted, y):
    with pytest.raises(ValueError, match=r"predicted and y must (both )?be labels.*, got \(.*\) and \("):
        jaxnn.accuracy(np.zeros(predicted, int), np.zeros(y, int))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (5, 1)])
def test_accuracy_raises_for_weights_that_would_broadcast(shape):
    with pytest.raises(ValueError, match=r"weight must have shape \(5,\), one number per example, got \(.*\)"):
        jaxnn.accuracy(np.zeros(5, int), np.zeros(5, int), np.ones(shape))


def test_log_loss_is_scikit_learns():
    many = sklearn.metrics.log_loss(Y, PROBABILITIES, labels=range(4))
    for labels in (Y, Y[:, None], Y.astype(np.uint8), Y.astype(np.float32)):
        np.testing.assert_allclose(jaxnn.metrics.log_loss(PROBABILITIES, labels), many, rtol=1e-6)
    p, y = PROBABILITIES[:, 0], Y % 2
    for probabilities in (p, p[:, None]):
        np.testing.assert_allclose(jaxnn.metrics.log_loss(probabilities, y), sklearn.metrics.log_loss(y, p), rtol=1e-6)


def test_log_loss_is_the_models_loss():
    model = jaxnn.logistic_regression(2, classes=3)
    params = jaxnn.models.params_from_arrays(model.network, (2,), [RNG.normal(size=(3, 2)), RNG.normal(size=3)])
    batch = jaxnn.Batch(jnp.asarray(RNG.normal(size=(6, 2)), jnp.float32), jnp.array([0, 1, 2, 0, 1, 2]))

    @compiled
    def run(params, batch):
        objective = jaxnn.objective(model.network, model.loss)
        return objective.evaluate(params, (), batch), jaxnn.metrics.log_loss(
            model.predict_proba(params, batch.x), batch.y
        )

    np.testing.assert_allclose(*run(params, batch), rtol=1e-5)


def test_log_loss_of_a_sure_and_wrong_answer_is_infinite():
    assert jaxnn.metrics.log_loss(np.array([1.0, 0.5]), np.array([0, 1])) == np.inf
    assert jaxnn.metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == np.inf
    assert jaxnn.metrics.log_loss(np.array([1.0, 0.0]), np.array([1, 0])) == 0


@pytest.mark.parametrize("label", [-1, 4, 300])
def test_log_loss_of_no_class_is_nan(label):
    """A negative number does not count from the end."""
    y = np.array([0, label])
    assert np.isnan(jaxnn.metrics.log_loss(PROBABILITIES[:2], y))
    assert np.isnan(jaxnn.metrics.log_loss(PROBABILITIES[:2, 0], y))


@pytest.mark.parametrize(("p", "y"), [((5, 3), (4,)), ((5, 3), (5, 3)), ((5,), (4,)), ((5, 3, 1), (5,))], ids=str)
def test_log_loss_raises_for_shapes_that_do_not_fit(p, y):
    with pytest.raises(ValueError, match=r"probabilities and y must be .*, got \(.*\) and \(.*\)"):
        jaxnn.metrics.log_loss(np.full(p, 0.5), np.zeros(y, int))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_confusion_matrix_is_scikit_learns(dtype):
    y, predicted = (a.astype(dtype) for a in (Y, PREDICTED))
    classes = int(max(y.max(), predicted.max())) + 1
    expected = sklearn.metrics.confusion_matrix(y.astype(int), predicted.astype(int), labels=range(classes))
    np.testing.assert_array_equal(jaxnn.metrics.confusion_matrix(predicted, y, classes), expected)


def test_confusion_matrix_of_many_classes_in_bytes():
    """Row times classes does not fit in 8 bits."""
    y, predicted = np.array([199, 199, 0], np.uint8), np.array([198, 199, 0], np.uint8)
    counts = np.asarray(compiled(jaxnn.metrics.confusion_matrix, static_argnums=2)(predicted, y, 200))
    assert {(int(i), int(j)): int(counts[i, j]) for i, j in np.argwhere(counts)} == {
        (0, 0): 1,
        (199, 198): 1,
        (199, 199): 1,
    }


def test_confusion_matrix_ignores_invalid_classes():
    counts = jaxnn.metrics.confusion_matrix(np.array([0, 1, 2, -1, 1]), np.array([0, 1, 1, 1, -1]), 2)
    assert counts.tolist() == [[1, 0], [0, 1]]


def test_confusion_matrix_raises_for_shapes_that_differ():
    with pytest.raises(ValueError, match=r"predicted and y must both be labels \(m,\), got \(3, 1\) and \(3,\)"):
        jaxnn.metrics.confusion_matrix(np.zeros((3, 1), int), np.zeros(3, int), 2)


def test_fractional_labels_are_not_a_class():
    assert np.isnan(jaxnn.metrics.log_loss(jnp.full((2, 3), 1 / 3), jnp.array([0.5, 1.0])))
    in_a_program = jax.jit(jaxnn.metrics.confusion_matrix, static_argnums=2)
    assert in_a_program(jnp.array([0.9, 1.0]), jnp.array([0.0, 1.0]), 2).tolist() == [[0, 0], [0, 1]]


def test_many_weights_in_half_precision_do_not_overflow():
    n = 70_000
    assert jaxnn.accuracy(jnp.zeros(n, int), jnp.zeros(n, int), np.ones(n, np.float16)) == 1


@pytest.mark.parametrize(
    "measure", [jaxnn.accuracy, jaxnn.metrics.error_rate, lambda p, y: jaxnn.metrics.confusion_matrix(p, y, 2)]
)
def test_probabilities_instead_of_labels_raise(measure):
    """None of them would be equal to a label, so a good model would have the accuracy 0."""
    with pytest.raises(
        ValueError, match=r"predicted must be labels, got 0.25: model.predict\(params, x\) returns labels"
    ):
        measure(np.array([1, 0.25, 0.75]), np.array([1, 0, 1]))
    measure(np.array([1.0, 0.0, np.nan]), np.array([1, 0, 1]))  # floats that are labels, and what is none


def test_logits_instead_of_probabilities_raise():
    with pytest.raises(
        ValueError, match=r"probabilities must be from 0 to 1, got -3.0 to 2.0: model.predict_proba\(params, x\)"
    ):
        jaxnn.metrics.log_loss(np.array([-3.0, 2.0]), np.array([0, 1]))
    compiled(jaxnn.metrics.log_loss)(np.array([-3.0, 2.0]), np.array([0, 1]))  # a program cannot tell


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array(["cat", "dog"]), r"must be real numbers, got <U3 \(2,\): np.unique"),
        (np.array([0, 1], object), "must be real numbers, got object"),
        (None, "must be an array, got None"),
        ([[0], [0, 1]], "must be an array, .* whose entries differ in shape"),
    ],
)
def test_non_numeric_labels_raise(labels, message):
    y, half = np.array([0, 1]), np.array([0.5, 0.5])
    calls = [
        ("predicted", lambda: jaxnn.accuracy(labels, y)),
        ("y", lambda: jaxnn.accuracy(y, labels)),
        ("predicted", lambda: jaxnn.metrics.confusion_matrix(labels, y, 2)),
        ("y", lambda: jaxnn.metrics.log_loss(half, labels)),
        ("y", lambda: jaxnn.metrics.reliability_curve(half, labels)),
    ]
    for name, call in calls:
        with pytest.raises(ValueError, match=f"^{name} {message}"):
            call()
    with pytest.raises(ValueError, match=r"probabilities and y must be .*, got \(\) and \(\)"):
        jaxnn.metrics.log_loss(0.5, 1)


def test_lists_are_measured_as_arrays():
    assert jaxnn.accuracy([0, 1, 1], [0, 1, 0], [1.0, 1.0, 2.0]) == 0.5
    assert jaxnn.metrics.log_loss([0.5, 0.5], [0, 1]) == jaxnn.metrics.log_loss(np.array([0.5, 0.5]), np.array([0, 1]))


@pytest.mark.parametrize("weight", [None, WEIGHT, np.arange(50) % 2])
def test_class_scores_are_scikit_learns(weight):
    got = jaxnn.metrics.class_scores(PREDICTED, Y, 4, weight)
    expected = sklearn.metrics.precision_recall_fscore_support(Y, PREDICTED, sample_weight=weight)
    np.testing.assert_allclose(np.stack(got), np.stack(expected), rtol=1e-5)
    macro = sklearn.metrics.f1_score(Y, PREDICTED, average="macro", sample_weight=weight)
    np.testing.assert_allclose(got.f1.mean(), macro, rtol=1e-5)


@pytest.mark.parametrize("weight", [3e38, 1e-45, 1e-50])
def test_only_ratios_of_weights_matter_to_class_scores(weight):
    got = jaxnn.metrics.class_scores([0, 1, 1], [0, 1, 0], 2, np.full(3, weight))
    np.testing.assert_allclose(np.stack(got[:3]), [[1, 0.5], [0.5, 1], [2 / 3, 2 / 3]], rtol=1e-6)


def test_class_scores_of_a_class_that_is_absent_are_0_also_side_by_side():
    y, members = jnp.array([0, 0, 2]), jnp.array([[0, 0, 0], [0, 1, 2]])
    got = compiled(jax.vmap(lambda predicted: jaxnn.metrics.class_scores(predicted, y, 3)))(members)
    for i, predicted in enumerate(members):
        expected = sklearn.metrics.precision_recall_fscore_support(y, predicted, labels=range(3), zero_division=0)
        np.testing.assert_allclose(np.stack([a[i] for a in got]), np.stack(expected), rtol=1e-6)
