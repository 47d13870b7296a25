"""Bias and variance: the gaps between measured errors and the achievable error."""

import math
from typing import NamedTuple

from jaxnn.constraints import Nothing, Real, checked

NEXT_STEPS = {
    "bias": "train a larger network, longer, or with a better optimizer; regularize less; try another architecture",
    "variance": "get more training data, or augment them; regularize more (L2, dropout, early stopping); "
    "train a smaller network",
    "mismatch": "find out how dev examples differ; make training data more like them, or collect similar data",
    "dev_overfitting": "get a larger dev set: too many choices were made with this one",
}


class ErrorAnalysis(NamedTuple):
    """The gaps between errors, as fractions of the examples; they may be negative, and are `None` if not computed.

    Attributes:
      bias: avoidable bias, train error - achievable error.
      variance: train-dev error - train error; dev error - train error without a train-dev set.
      mismatch: dev error - train-dev error: the effect of different distributions.
      dev_overfitting: test error - dev error: the effect of choosing by the dev set.
      noise: gap -> two standard errors of it, from the numbers of examples; empty without these numbers.
      found: the gaps above 0, or above their noise, the largest first.
      next_steps: the usual remedies for the gaps in `found`, in that order.
    """

    bias: float
    variance: float
    mismatch: float | None
    dev_overfitting: float | None
    noise: dict[str, float]
    found: tuple[str, ...]
    next_steps: tuple[str, ...]


_SHARE = Real(0, 1, description="a fraction from 0 to 1", fix="8 % is 0.08")
_NUMBER = Real(1, whole=True, description="a whole number of at least 1") | Nothing()


@checked(
    train_error=_SHARE,
    dev_error=_SHARE,
    achievable_error=_SHARE,
    train_dev_error=_SHARE | Nothing(),
    test_error=_SHARE | Nothing(),
    n_train=_NUMBER,
    n_dev=_NUMBER,
    n_train_dev=_NUMBER,
    n_test=_NUMBER,
)
def analyze_errors(
    *,
    train_error: float,
    dev_error: float,
    achievable_error: float = 0.0,
    train_dev_error: float | None = None,
    test_error: float | None = None,
    n_train: int | None = None,
    n_dev: int | None = None,
    n_train_dev: int | None = None,
    n_test: int | None = None,
) -> ErrorAnalysis:
    """Separate bias, variance, data mismatch and overfitting to the dev set by the gaps between errors.

        achievable  --bias--  train  --variance--  train-dev  --mismatch--  dev  --dev overfitting--  test

    The numbers of examples determine how large a gap may be by chance. An error rate p of n examples has the standard
    error sqrt(p(1 - p)/n), and a gap the square root of the sum of both squares; a gap of more than two of them is
    reported. One right and one wrong example are added to each set (Agresti and Caffo), since no error among ten
    examples does not mean an error rate of 0. The achievable error is treated as exact, and the variation between
    random initializations is not included.

    Args:
      train_error: fraction of wrong predictions on the training set, 0 to 1.
      dev_error: the same on the dev set.
      achievable_error: the lowest possible error, such as that of people or of Bayes' rule.
      train_dev_error: on examples from the training set's distribution that were not trained on, if dev and test sets
        have another distribution.
      test_error: on the test set.
      n_train: number of training examples. If one number is given, those of all given errors are required.
      n_dev: number of dev examples.
      n_train_dev: number of train-dev examples.
      n_test: number of test examples.

    Returns:
      An `ErrorAnalysis`.

    Raises:
      ValueError: if an error is outside 0 to 1, a number of examples is below 1, or only some numbers are given.

    Example:
      >>> analyze_errors(train_error=0.01, dev_error=0.11).found
      ('variance', 'bias')
      >>> analysis = analyze_errors(train_error=0.01, dev_error=0.11, n_train=100, n_dev=100)
      >>> analysis.found, round(analysis.noise["bias"], 3)
      (('variance',), 0.027)

    Source: Ng, "Machine Learning Yearning", 2018, chapters 20 to 43; Agresti and Caffo, "Simple and effective
    confidence intervals for proportions and differences of proportions", 2000.
    """
    errors = {"train": train_error, "train_dev": train_dev_error, "dev": dev_error, "test": test_error}
    errors = {name: float(e) for name, e in errors.items() if e is not None}
    examples = {"train": n_train, "train_dev": n_train_dev, "dev": n_dev, "test": n_test}
    examples = {name: int(n) for name, n in examples.items() if n is not None}
    if examples and examples.keys() != errors.keys():
        wanted, got = (", ".join(f"n_{name}" for name in names) for names in (errors, examples))
        raise ValueError(f"{wanted} must be given, one for each error, or none of them, got {got}")
    errors["achievable"] = float(achievable_error)
    same_distribution = "train_dev" if "train_dev" in errors else "dev"
    between = {"bias": ("achievable", "train"), "variance": ("train", same_distribution)}
    if "train_dev" in errors:
        between["mismatch"] = ("train_dev", "dev")
    if "test" in errors:
        between["dev_overfitting"] = ("dev", "test")

    gaps = {gap: errors[above] - errors[below] for gap, (below, above) in between.items()}
    variances = {name: _variance(errors[name], n) for name, n in examples.items()} | {"achievable": 0.0}
    noise = {gap: 2 * math.sqrt(sum(variances[name] for name in ends)) for gap, ends in between.items() if examples}
    found = sorted((gap for gap in gaps if gaps[gap] > noise.get(gap, 0.0)), key=gaps.__getitem__, reverse=True)
    return ErrorAnalysis(
        gaps["bias"],
        gaps["variance"],
        gaps.get("mismatch"),
        gaps.get("dev_overfitting"),
        noise,
        tuple(found),
        tuple(NEXT_STEPS[gap] for gap in found),
    )


def _variance(error: float, n: int) -> float:
    """Return the variance of an error rate measured on n examples, with one right and one wrong example added."""
    p = (error * n + 1) / (n + 2)
    return p * (1 - p) / (n + 2)
