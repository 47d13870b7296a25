"""Connectionist temporal classification as its definition has it: a sum over all paths, which are enumerated.

Arrays are in rows: logits z (m, T, k), lengths (m,), labels (m, U), label_lengths (m,). Class 0 is the blank. A path of
an example has one class for each of its times, k^length of them: T and k must be small. What z and the labels hold
beyond their lengths is not read. z may be complex.

Source: Graves, Fernandez, Gomez & Schmidhuber, "Connectionist temporal classification" (2006).
"""

from functools import cache
from itertools import product

import numpy as np

from .losses import log_softmax

BLANK = 0


def collapse(path):
    """Return the label of a path: of equal neighbors one is left, and then the blanks are taken out."""
    label, before = [], None
    for k in path:
        if k not in (before, BLANK):
            label.append(k)
        before = k
    return tuple(label)


@cache
def paths_by_label(T, k):
    """Return a dictionary of each label that T times and k classes can give, and the list of all its paths."""
    paths = {}
    for path in product(range(k), repeat=T):
        paths.setdefault(collapse(path), []).append(path)
    return paths


def examples(z, lengths, labels, label_lengths):
    """Yield (log p, paths) for each example: log_softmax(z) (length, k), and the list of all paths of its label."""
    for i in range(len(z)):
        label = tuple(int(k) for k in labels[i][: label_lengths[i]])
        yield log_softmax(z[i, : lengths[i]]), paths_by_label(int(lengths[i]), z.shape[-1]).get(label, [])


def path_logs(log_p, paths):
    """Return the logarithm of each path's probability, the product over its times of p[t, its class]; (len(paths),)."""
    return np.array([sum(log_p[t, k] for t, k in enumerate(path)) for path in paths])


def ctc_loss(z, lengths, labels, label_lengths):
    """Return L = -log of the sum of the probabilities of all paths that give the label; infinite if there is no path.

    Args:
        z: (m, T, k). lengths: (m,), whole numbers from 0 to T. labels: (m, U), classes from 1 to k - 1.
        label_lengths: (m,), from 0 to U.

    Returns:
        L (m,).
    """
    loss = np.zeros(len(z), np.result_type(z, float))
    for i, (log_p, paths) in enumerate(examples(z, lengths, labels, label_lengths)):
        if not paths:
            loss[i] = np.inf
            continue
        logs = path_logs(log_p, paths)
        largest = np.max(logs.real)
        loss[i] = -largest - np.log(np.sum(np.exp(logs - largest)))
    return loss


def posteriors(log_p, paths):
    """Return gamma (length, k): how probable each class is at each time, given that one of these paths was taken."""
    logs = path_logs(log_p, paths)
    shares = np.exp(logs - np.max(logs))
    gamma = np.zeros(log_p.shape)
    for share, path in zip(shares / np.sum(shares), paths, strict=True):
        for t, k in enumerate(path):
            gamma[t, k] += share
    return gamma


def d_ctc_loss(z, lengths, labels, label_lengths):
    """dz[i, t] = softmax(z[i, t]) - gamma[t] of each example's own loss; 0 beyond its length, and if it is infinite.

    Args:
        As in `ctc_loss`; z real.

    Returns:
        dz (m, T, k).
    """
    dz = np.zeros(z.shape)
    for i, (log_p, paths) in enumerate(examples(z, lengths, labels, label_lengths)):
        if paths:
            dz[i, : lengths[i]] = np.exp(log_p) - posteriors(log_p, paths)
    return dz
