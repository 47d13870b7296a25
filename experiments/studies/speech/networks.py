"""The networks, and how they are trained. Settings were chosen on the dev set."""

from typing import Any, NamedTuple

import jaxnn
from experiments.datasets.recording_features import BANDS
from experiments.networks.spec import LayersSpec
from experiments.studies.speech.data import FRAMES
from experiments.studies.speech.strings import CLASSES_OF_PATHS, FRAMES_PER_STEP, MOST_STEPS
from jaxnn import nn
from jaxnn.nn import Sequences


class Candidate(NamedTuple):
    """A network and its training.

    Attributes:
      network: from features (m, T, n) to classes; a recurrent one also takes `Sequences` of them.
      in_shape: of one example, (T, n).
      takes_lengths: whether lengths matter; otherwise what is beyond them is 0.
      learning_rate: the peak of a cosine schedule.
    """

    network: jaxnn.Layer
    in_shape: tuple[int, int]
    takes_lengths: bool
    epochs: int
    learning_rate: float
    batch_size: int = 32

    @property
    def spec(self) -> LayersSpec:
        """Return what a stored network is described by."""
        return LayersSpec(self.network, self.in_shape)

    def inputs(self, sequences: Sequences) -> Any:
        """Return sequences as the network takes them."""
        return sequences if self.takes_lengths else sequences.x


def _convolutions(channels: int, size: int) -> list[jaxnn.Layer]:
    return [nn.conv(channels, (size,)), nn.batch_norm(), nn.relu(), nn.max_pool((2,))]


CANDIDATES = {
    "recurrent": Candidate(
        jaxnn.chain(nn.bidirectional(nn.gru_cell(48), "last"), nn.dropout(0.5), nn.dense(10)),
        (FRAMES, BANDS),
        takes_lengths=True,
        epochs=15,
        learning_rate=5e-3,
    ),
    "convolutional": Candidate(
        jaxnn.chain(
            *_convolutions(64, 5),
            *_convolutions(64, 5),
            *_convolutions(128, 3),
            nn.global_avg_pool(),
            nn.dropout(0.5),
            nn.dense(10),
        ),
        (FRAMES, BANDS),
        takes_lengths=False,
        epochs=15,
        learning_rate=3e-3,
    ),
}
"""The networks for one digit."""

STRINGS = Candidate(
    jaxnn.chain(
        nn.bidirectional(nn.gru_cell(96)),
        nn.bidirectional(nn.gru_cell(96)),
        nn.each_step(jaxnn.chain(nn.dropout(0.3), nn.dense(len(CLASSES_OF_PATHS)))),
    ),
    (MOST_STEPS, FRAMES_PER_STEP * BANDS),
    takes_lengths=True,
    epochs=40,
    learning_rate=3e-3,
)
"""The network for strings of digits: at each step, the logits of a blank and of the digits."""
