"""Declare the study `ad_clicks` and its options."""

from dataclasses import dataclass

from experiments.runs.options import RunOptions
from experiments.runs.study import Study

STUDY = Study(
    name="ad_clicks",
    package=__name__,
    title="Will a user click on an ad? Categories of thousands of levels through embeddings, and as one-hot inputs.",
    question=(
        "A row has numbers (hour, age, pages) and categories (country, device, site and ad, up to 3000 levels, most of "
        "them rare). On the same rows, how do embeddings and one-hot inputs compare in log loss, area under the ROC "
        "curve, params, time and bytes, and how far are both from the best possible?"
    ),
    command="python -m experiments run ad_clicks",
    time="40 to 80 s on 2 CPU cores beside other work",
    expected=(
        "With seed 0 the best possible log loss is 0.2874. Logistic regression on one-hot inputs is 0.0461 above it, a "
        "network on them 0.0198, and the same network on embeddings 0.0129; the areas under the curve are 0.706, 0.781 "
        "and 0.794, of 0.819. With seed 1 the order is the same: 0.0480, 0.0203 and 0.0147. A row of whole numbers has "
        "28 bytes instead of 16 636, and a step needs 0.5 MB of temporary memory instead of 33, in a tenth of the time."
    ),
    notes=(
        "The rows are made, from --seed, and nothing is downloaded: the probability of each click is known, and so is "
        "the smallest possible log loss. The logit adds an effect of each category's level, a scalar product of two "
        "numbers of the site with two of the ad (some ads suit some sites), and curves of the three numbers. Levels "
        "follow Zipf's law: the k-th level of n has probability proportional to 1/k^s.\n\n"
        "All three networks have the same training: Adam with a cosine schedule, L2, and the params of the epoch that "
        "was best on dev. One-hot inputs are made inside the program, a batch at a time: the report states how much "
        "memory all rows of them would take."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of the study."""

    rows: int = 400_000
    """Training rows; a twentieth as many each are dev and test."""
    epochs: int = 4
    """Passes over the training rows."""
    batch_size: int = 1024
    """Rows of a mini-batch."""
    learning_rate: float = 0.01
    """The peak learning rate of the cosine schedule."""
    l2: float = 3e-5
    """Strength of the L2 regularizer."""
    seed: int = 0
    """Seed of the truth, the rows, the initialization and the shuffles."""
