"""Make rows of ad impressions from a stated truth, with the probability of each click."""

from typing import NamedTuple

import numpy as np

import jaxnn

NUMBERS = ("hour", "age", "pages")
HELD_OUT = 20
"""Dev and test each have one row for as many training rows."""


class Category(NamedTuple):
    """A column of categories: level k = 1, ..., n has a probability proportional to 1/k^exponent.

    Attributes:
      name: of the column.
      levels: their number n.
      exponent: of Zipf's law.
      deviation: of the effects of the levels on the logit, which are normal with mean 0.
    """

    name: str
    levels: int
    exponent: float
    deviation: float

    def frequencies(self) -> np.ndarray:
        """Return the probability of each level, (levels,)."""
        weights = 1 / np.arange(1, self.levels + 1) ** self.exponent
        return weights / weights.sum()


CATEGORIES = (
    Category("country", 150, 1.2, 0.3),
    Category("device", 6, 0.8, 0.4),
    Category("site", 3000, 1.05, 0.6),
    Category("ad", 1000, 1.0, 0.6),
)
SITE, AD = 2, 3
_BIAS, _TASTES, _STRENGTH = -2.4, 2, 0.7


class Truth(NamedTuple):
    """What decides the clicks.

    Attributes:
      effects: for each category, the effect of each level on the logit, (levels,).
      sites, ads: two numbers for each site and each ad, (levels, 2); their scalar product times 0.7 adds to the logit.
    """

    effects: tuple[np.ndarray, ...]
    sites: np.ndarray
    ads: np.ndarray

    def probabilities(self, numbers: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return the probability of a click for each row.

        Args:
          numbers: hour, age and pages, (m, 3).
          levels: the level of each category, from 0, (m, 4).
        """
        hour, age, pages = numbers.T
        logit = _BIAS + sum(effects[levels[:, i]] for i, effects in enumerate(self.effects))
        logit += _STRENGTH * np.einsum("ik,ik->i", self.sites[levels[:, SITE]], self.ads[levels[:, AD]])
        logit += 0.5 * np.cos(2 * np.pi * (hour - 20) / 24) - 0.4 * ((age - 38) / 14) ** 2 + 0.3 * np.log(pages)
        return 1 / (1 + np.exp(-logit))


class Rows(NamedTuple):
    """A part of the rows.

    Attributes:
      batch: x is a tuple of standardized numbers (m, 3) float32 and each category's levels (m,) int32; y is 1 for a
        click, (m,).
      probabilities: of a click, (m,), as the truth has them.
    """

    batch: jaxnn.Batch
    probabilities: np.ndarray


class AdClicks(NamedTuple):
    """The truth, and the rows of train, dev and test."""

    truth: Truth
    train: Rows
    dev: Rows
    test: Rows


def make_rows(m: int, seed: int) -> AdClicks:
    """Make m training rows, and dev and test rows, with a truth; the same seed gives the same."""
    random = np.random.default_rng(seed)
    truth = Truth(
        tuple(random.normal(0, category.deviation, category.levels) for category in CATEGORIES),
        *(random.normal(size=(CATEGORIES[i].levels, _TASTES)) for i in (SITE, AD)),
    )
    held_out = max(1, m // HELD_OUT)
    total = m + 2 * held_out
    levels = np.stack(
        [random.choice(each.levels, total, p=each.frequencies()).astype(np.int32) for each in CATEGORIES], axis=1
    )
    hour, age = random.uniform(0, 24, total), random.normal(38, 14, total).clip(16, 80)
    numbers = np.stack([hour, age, random.lognormal(1, 0.8, total)], axis=1)
    probabilities = truth.probabilities(numbers, levels)
    y = (random.uniform(size=total) < probabilities).astype(np.int32)
    numbers[:, 2] = np.log(numbers[:, 2])
    x = jaxnn.standardize(jaxnn.data.fit_standardizer(numbers[:m]), numbers).astype(np.float32)

    def part(start, end):
        at = slice(start, end)
        columns = (np.ascontiguousarray(column[at]) for column in levels.T)
        return Rows(jaxnn.Batch((x[at], *columns), y[at]), probabilities[at])

    return AdClicks(truth, part(0, m), part(m, m + held_out), part(m + held_out, total))


def entropy(p: np.ndarray) -> float:
    """Return the mean entropy of clicks of these probabilities, in nats: no prediction has a smaller expected log loss.

    -p log p - (1 - p) log(1 - p) is the expected log loss of predicting p itself (Gibbs' inequality).
    """
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())


def divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return p log(p/q) + (1 - p) log((1 - p)/(1 - q)): how much more than the entropy predicting q costs, (m,).

    Unlike a difference of log losses on drawn clicks, it has none of their chance.
    """
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
