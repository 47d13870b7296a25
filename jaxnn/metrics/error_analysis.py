"""Bias and variance: what stands between the errors that were measured and the one that can be achieved."""

import math
from typing import Any, NamedTuple

from jaxnn.validation import described, is_number

NEXT_STEPS = {
    "bias": "train a larger network, longer, or by a better optimizer; regularise less; try another architecture",
    "variance": "get more training data, or augment them; regularise more (L2, dropout, early stopping); "
    "train a smaller network",
    "mismatch": "look at what sets the dev examples apart; make training data more like them, or collect such",
    "dev_overfitting": "get a larger dev set: this one was chosen by too often",
}


class ErrorAnalysis(NamedTuple):
    """What `analyze_errors` returns. Gaps are shares of the examples, may be negative, and are `None` if not computed.

    Attributes:
      bias: avoidable bias, train error - achievable error.
      variance: train-dev error - train error; dev error - train error where there is no train-dev set.
      mismatch: dev error - train-dev error: what the difference of distributions costs.
      dev_overfitting: test error - dev error: what choosing by the dev set has made it flatter.
      noise: gap -> two standard errors of it, by the numbers of examples; empty where they were not given.
      found: the gaps above 0, or above their noise, the largest first.
      next_steps: the usual remedies for what was found, in that order.
    """

    bias: float
    variance: float
    mismatch: float | None
    dev_overfitting: float | None
    noise: dict[str, float]
    found: tuple[str, ...]
    next_steps: tuple[str, ...]


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
    """Tell bias, variance, data mismatch and overfitting to the dev set apart, by the gaps between errors.

        achievable  --bias--  train  --variance--  train-dev  --mismatch--  dev  --dev overfitting--  test

    From the numbers of examples follows how far chance alone takes a gap. An error rate p of n examples has the
    standard error sqrt(p(1 - p)/n), and a gap sqrt of the sum of both squares; a gap of more than two is found. Rates
    are taken with a right and a wrong example more in each set (Agresti and Caffo), since no error among ten examples
    does not mean that there never is one. The achievable error counts as known, and what another random start would
    change is not in it.

    Args:
      train_error: share of wrong answers on the training set, 0 to 1.
      dev_error: the same on the dev set.
      achievable_error: what is possible: by people, say, or by Bayes' rule.
      train_dev_error: on examples from the training set's distribution that were not trained on, where dev and test
        come from another.
      test_error: on the test set.
      n_train: how many examples the training set has. With one of the numbers, those of all errors given are needed.
      n_dev: how many the dev set has.
      n_train_dev: how many the train-dev set has.
      n_test: how many the test set has.

    Returns:
      A `ErrorAnalysis`.

    Raises:
      ValueError: an error outside 0 to 1, a number of examples below 1, or only some of the numbers.

    Example:
      >>> analyze_errors(train_error=0.01, dev_error=0.11).found
      ('variance', 'bias')
      >>> diagnosis = analyze_errors(train_error=0.01, dev_error=0.11, n_train=100, n_dev=100)
      >>> diagnosis.found, round(diagnosis.noise["bias"], 3)
      (('variance',), 0.027)

    Source: Ng, "Machine Learning Yearning", 2018, chapters 20 to 43; Agresti and Caffo, "Simple and effective
    confidence intervals for proportions and differences of proportions", 2000.
    """
    errors = {"train": train_error, "train_dev": train_dev_error, "dev": dev_error, "test": test_error}
    needed = ("train", "dev")
    errors = {name: _share(f"{name}_error", e) for name, e in errors.items() if e is not None or name in needed}
    examples = {"train": n_train, "train_dev": n_train_dev, "dev": n_dev, "test": n_test}
    examples = {name: _count(f"n_{name}", n) for name, n in examples.items() if n is not None}
    if examples and examples.keys() != errors.keys():
        raise ValueError(
            f"errors were given for {', '.join(errors)}, numbers of examples for {', '.join(examples)}: "
            "give them for the same sets, or no numbers"
        )
    errors["achievable"] = _share("achievable_error", achievable_error)
    same_distribution = "train_dev" if "train_dev" in errors else "dev"
    between = {"bias": ("achievable", "train"), "variance": ("train", same_distribution)}
    if "train_dev" in errors:
        between["mismatch"] = ("train_dev", "dev")
    if "test" in errors:
        between["dev_overfitting"] = ("dev", "test")

    gaps = {gap: errors[above] - errors[below] for gap, (below, above) in between.items()}
    variances = {name: _variance(errors[name], n) for name, n in examples.items()} | {"achievable": 0.0}
    noise = {gap: 2 * math.sqrt(sum(variances[name] for name in ends)) for gap, ends in between.items() if examples}
    found = sorted((gap for gap in gaps if gaps[gap] > noise.get(gap, 0.0)), key=gaps.get, reverse=True)
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
    """Of the measured error rate of n examples, with a right and a wrong one added."""
    p = (error * n + 1) / (n + 2)
    return p * (1 - p) / (n + 2)


def _share(name: str, error: Any) -> float:
    if not is_number(error, lambda error: 0 <= error <= 1):
        raise ValueError(f"{name} is {described(error)}, expected a share of wrong answers from 0 to 1: 8 % is 0.08")
    return float(error)


def _count(name: str, n: Any) -> int:
    if not is_number(n, lambda n: 1 <= n < float("inf") and n == int(n)):
        raise ValueError(f"{name} is {described(n)}, expected a whole number of at least 1 example")
    return int(n)
