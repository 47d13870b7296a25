"""Layer, RMS, group and batch normalization in loops, in rows and channels last: x is (m, ..., c).

What sets one apart are its sets: lists of the places in x over which one mean and one variance are taken. All else is
the same: xhat = (x - mu) r with r = 1/sqrt(variance + eps), the variance biased, y = gamma xhat + beta.
Without a center mu is 0 and the variance is the mean of squares. Everything but the sets is analytic.

Sources: Ba, Kiros & Hinton, "Layer normalization" (2016); Zhang & Sennrich, "Root mean square layer normalization"
(2019); Wu & He, "Group normalization" (2018); Ioffe & Szegedy, "Batch normalization" (2015).
"""

from functools import partial
from typing import NamedTuple

import numpy as np


class Norm(NamedTuple):
    """A normalization: `sets(shape)` are its lists of places, and `center` is whether the mean is subtracted."""

    sets: object
    center: bool = True


def places_by(shape, of_set):
    """Return the places of x, as lists of those for which `of_set(place)` is equal."""
    sets = {}
    for place in np.ndindex(shape):
        sets.setdefault(of_set(place, shape), []).append(place)
    return list(sets.values())


def of_row(place, shape):
    """Layer and RMS normalization: a set for each index of all but the last axis."""
    return place[:-1]


def of_channel(place, shape):
    """Batch normalization: a set for each channel."""
    return place[-1]


def of_group(place, shape, groups):
    """Group normalization: a set for each example and each group of c / groups adjacent channels."""
    return place[0], place[-1] // (shape[-1] // groups)


LAYER_NORM = Norm(partial(places_by, of_set=of_row))
RMS_NORM = Norm(partial(places_by, of_set=of_row), center=False)
BATCH_NORM = Norm(partial(places_by, of_set=of_channel))


def group_norm(groups):
    """Return group normalization with this number of groups."""
    return Norm(partial(places_by, of_set=partial(of_group, groups=groups)))


def moments(x, places, center, eps):
    """Return (mu, r) over these places."""
    n, mu, square = len(places), 0.0, 0.0
    if center:
        for place in places:
            mu = mu + x[place] / n
    for place in places:
        square = square + (x[place] - mu) ** 2 / n
    return mu, 1 / np.sqrt(square + eps)


def normalized(norm, x, eps):
    """Return xhat, in the shape of x."""
    xhat = np.empty_like(x)
    for places in norm.sets(x.shape):
        mu, r = moments(x, places, norm.center, eps)
        for place in places:
            xhat[place] = (x[place] - mu) * r
    return xhat


def normalization(norm, x, gamma, beta=None, eps=1e-5):
    """Return y = gamma xhat + beta, with gamma and beta (c,); without beta, 0."""
    y = normalized(norm, x, eps) * gamma
    return y if beta is None else y + beta


def d_normalization(norm, x, gamma, dy, eps=1e-5):
    """Return (dx, dgamma, dbeta).

    dx = r (d - mean(d) - xhat mean(d xhat)) with d = gamma dy, without a center r (d - xhat mean(d xhat)). dgamma
    and dbeta are the sums of dy xhat and of dy over every axis but the last.
    """
    xhat, d, dx = normalized(norm, x, eps), gamma * dy, np.empty_like(x)
    for places in norm.sets(x.shape):
        _, r = moments(x, places, norm.center, eps)
        n, mean, along = len(places), 0.0, 0.0
        for place in places:
            mean = mean + d[place] / n if norm.center else 0.0
            along = along + d[place] * xhat[place] / n
        for place in places:
            dx[place] = r * (d[place] - mean - xhat[place] * along)
    dgamma, dbeta = np.zeros_like(gamma), np.zeros_like(gamma)
    for place in np.ndindex(x.shape):
        dgamma[place[-1]] += dy[place] * xhat[place]
        dbeta[place[-1]] += dy[place]
    return dx, dgamma, dbeta
