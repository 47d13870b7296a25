"""Compare a convolutional network with the course's four layers on the same random splits: lines, numbers, pictures."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optax

from experiments.networks.spec import Spec
from experiments.reports import plots
from experiments.runs.folder import RunFolder
from experiments.runs.options import OnNan
from experiments.studies.catvnoncat import convolutional
from experiments.studies.catvnoncat.data import IMAGE_SHAPE, Photos
from experiments.studies.catvnoncat.splits import (
    Outcome,
    Splits,
    accuracies,
    paired_differences,
    split_photos,
    standard_error,
)


class Compared(NamedTuple):
    """Two networks, the course's and the convolutional one, on the same splits.

    Attributes:
      splits: the splits.
      outcomes: of the two.
      difference: of the two gradients of the convolutional network; see `proof.DEFINITION`.
    """

    splits: Splits
    outcomes: tuple[Outcome, Outcome]
    difference: float


def compare(
    photos: Photos,
    name: str,
    spec: Spec,
    optimizer: optax.GradientTransformation,
    iterations: int,
    on_nan: OnNan,
    folder: RunFolder,
    show: Callable[[str, int], None],
) -> Compared:
    """Train a network of the course, and the convolutional one, on the same random splits of all photos.

    `show` is called with the name of a training and the iterations and epochs done, first to last.
    """
    splits, before = split_photos(photos), partial(show, f"{name}, splits")
    course = convolutional.train_course(splits, name, spec, optimizer, iterations, folder, before, on_nan)

    def show_after(epoch):
        show(convolutional.NAME, iterations + epoch)

    other, difference = convolutional.train(splits, photos.classes, folder, show_after, on_nan)
    compared = Compared(splits, (course, other), difference)
    folder.write_json("splits.json", numbers(compared.outcomes, splits))
    seconds = ", ".join(f"{each.name} {each.seconds:.0f}" for each in compared.outcomes)
    folder.add_timings(f"seconds of training on the splits: {seconds}")
    return compared


def lines(compared: Compared) -> list[str]:
    """Return the accuracies of both networks, and their difference by split, in words."""
    splits, (first, second), _ = compared
    n, m = splits.in_test.shape
    n_test = int(splits.in_test[0].sum())
    differences = paired_differences(first, second, splits)
    error = standard_error(differences, m - n_test, n_test)
    wins = int((differences > 0).sum())
    return [
        f"{n} random splits of all {m} photos, {m - n_test} for training and {n_test} for testing:",
        *(
            f"  {each.name + ':':15}test % {_mean_and_range(accuracies(each, splits, splits.in_test))}, "
            f"train % {_mean_and_range(accuracies(each, splits, ~splits.in_test))}, {each.spec}"
            for each in (first, second)
        ),
        f"  difference on the same split: {_mean_and_range(differences)} points, standard error {error:.1f}; "
        f"{second.name} is better in {wins} of {n}",
        f"  {_apart_from_the_choice((first, second), splits)}",
        f"  gradient diff. of {second.name}: {compared.difference:.1e}",
        "  mean (range) over splits; the standard error takes into account that training sets overlap.",
    ]


def numbers(outcomes: Sequence[Outcome], splits: Splits) -> dict[str, Any]:
    """Return the accuracies of each network in percent, by split."""
    return {
        each.name: {
            "layers": str(each.spec),
            "test_accuracy": accuracies(each, splits, splits.in_test).tolist(),
            "train_accuracy": accuracies(each, splits, ~splits.in_test).tolist(),
            "final_cost": each.losses[:, -1].tolist(),
        }
        for each in outcomes
    }


def add_pictures(compared: Compared, classes: Sequence[str], folder: RunFolder) -> None:
    """Add accuracy by split with the costs of both networks, and the worst mistakes of the convolutional one."""
    splits, (first, second), _ = compared
    caption = (
        f"Test accuracy of {first.name} and {second.name} on the same splits of all photos, dotted: means; and the "
        "cost of each network by epoch, one line for each split."
    )
    folder.add_picture("splits.png", _draw(first, second, splits), caption)
    tested = splits.in_test.any(axis=0)
    weights = splits.in_test / np.maximum(splits.in_test.sum(axis=0), 1)
    cat = (weights * second.probabilities).sum(axis=0)[tested]
    sheet = plots.draw_mistakes(
        splits.x[tested].reshape(-1, *IMAGE_SHAPE),
        splits.y[tested],
        (cat > 0.5).astype(int),
        np.stack([1 - cat, cat], axis=1),
        classes=classes,
    )
    caption = f"The worst mistakes of {second.name}, by the mean probability over the splits that test the photo."
    folder.add_picture(f"mistakes-{second.name}.png", plots.png(sheet), caption)


def _apart_from_the_choice(outcomes: Sequence[Outcome], splits: Splits) -> str:
    apart = splits.in_test & (np.arange(len(splits.y)) >= splits.n_chosen_on)
    right = [100 * ((each.probabilities > 0.5) == splits.y)[apart].mean() for each in outcomes]
    named = ", ".join(f"{each.name} {value:.1f} %" for each, value in zip(outcomes, right, strict=True))
    return f"on the {apart.sum()} tests of a photo that had no part in the choice of hyperparameters: {named}"


def _mean_and_range(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})"


def _draw(first: Outcome, second: Outcome, splits: Splits) -> bytes:
    figure, axes = plots.grid(1, 3)
    panel, numbered = axes[0, 0], np.arange(1, len(splits.in_test) + 1)
    for each, color in zip((first, second), plots.COLORS, strict=False):
        test = accuracies(each, splits, splits.in_test)
        panel.plot(numbered, test, marker="o", linestyle="", color=color, label=each.name)
        panel.axhline(test.mean(), color=color, linewidth=1, linestyle=":")
    panel.set(title="test accuracy", xlabel="split", ylabel="%", xticks=numbered)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    for panel, each, color in zip(axes[0, 1:], (first, second), plots.COLORS, strict=False):
        panel.plot(np.arange(each.losses.shape[1]), each.losses.T, color=color, linewidth=0.5, alpha=0.7)
        panel.set(title=each.name, xlabel="epoch", ylabel="cost", yscale="log")
        panel.grid(alpha=0.3)
    return plots.png(figure)
