"""Published networks on MNIST: each network, its test error, and how it is trained here.

Layers, loss (if the source names one) and distortions are those of the sources; but lenet5 has ReLUs, pools by the
largest element and connects all maps, and simard-conv has ReLUs. rows-lstm reads an image as
a sequence of rows, pixels-lstm pixel by pixel, and permuted-lstm pixels in a fixed random order.
Optimizer, learning rate, batch size, epochs, activation and label smoothing were chosen on the dev split, of the
convolutional networks only the learning rate; those of pixels-lstm and permuted-lstm were not, which are for a GPU.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import optax

import jaxnn
from experiments.networks.spec import LayersSpec, NetworkSpec, Spec
from experiments.studies.mnist.data import SIDE
from jaxnn import data, nn
from jaxnn.data import Field

LECUN = "LeCun, Bottou, Bengio and Haffner 1998"
ARJOVSKY = "Arjovsky, Shah and Bengio 2016"
SIMARD = "Simard, Steinkraus and Platt 2003"


class Preset(NamedTuple):
    """A row of the table.

    Attributes:
      layers: units of the hidden layers of a fully connected network; or a function from the number of classes to
        another one, which takes images (28, 28, 1).
      published: test error, in percent.
      source: where it was published.
      learning_rate: the peak, from which a cosine schedule decays to 0.
      output: softmax (cross-entropy) or linear (squared error to one-hot labels).
      fields: displacements of the training images, sampled for each image and epoch.
      input_dropout, dropout: the dropout rates of the inputs and of each hidden layer.
      smoothing: of the labels.
      max_norm: the largest norm of a unit's incoming weights.
      seeds: the number of networks, unless the options state another.
      committee: whether the published error is that of an ensemble.
      bar: the error that must be reached, if it is not the published one.
      classes: their number, 10 as published.
      device: for which it is meant: a CPU if three seeds take at most about an hour on two cores.
    """

    layers: tuple[int, ...] | Callable[[int], jaxnn.Layer]
    published: float
    source: str
    epochs: int
    learning_rate: float = 1e-3
    batch_size: int = 128
    activation: str = "relu"
    output: str = "softmax"
    fields: tuple[Field, ...] = ()
    input_dropout: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.0
    max_norm: float | None = None
    seeds: int = 4
    committee: bool = False
    bar: float | None = None
    classes: int = 10
    device: Literal["cpu", "gpu"] = "cpu"

    @property
    def spec(self) -> Spec:
        """Return the network, without what only training needs."""
        if callable(self.layers):
            return LayersSpec(self.layers(self.classes), (SIDE, SIDE, 1), self.output)
        init = "lecun" if self.activation == "tanh" else "he"
        return NetworkSpec((SIDE * SIDE, *self.layers, self.classes), self.activation, self.output, init)

    def model(self) -> jaxnn.Model:
        """Return the network as it is trained."""
        spec = self.spec
        if isinstance(spec, NetworkSpec):
            model = jaxnn.mlp(
                spec.sizes,
                spec.activation,
                output=spec.output,
                init=spec.init,
                dropout_rate=self.dropout,
                input_dropout_rate=self.input_dropout,
            )
        else:
            model = spec.model()
        return model._replace(loss=jaxnn.softmax_cross_entropy(self.smoothing)) if self.smoothing else model

    def optimizer(self, steps: int) -> optax.GradientTransformation:
        """Return Adam with a cosine schedule, and the max-norm constraint."""
        adam = jaxnn.optimizer("adam", jaxnn.optim.schedule("cosine", self.learning_rate, steps))
        return adam if self.max_norm is None else optax.chain(adam, jaxnn.optim.max_norm(self.max_norm))


def _lenet5(classes: int) -> jaxnn.Layer:
    return jaxnn.models.lenet((SIDE, SIDE, 1), classes).network


def _simard_conv(classes: int) -> jaxnn.Layer:
    """Return two convolutions of 5 x 5 with stride 2, of images padded to 29 x 29, and a layer of 100 units."""
    first = nn.conv(5, 5, stride=2, padding=((0, 1), (0, 1)), init="he")
    second = nn.conv(50, 5, stride=2, padding="valid", init="he")
    dense = nn.dense(100, "he"), nn.relu(), nn.dense(classes, "he")
    return nn.chain(first, nn.relu(), second, nn.relu(), nn.flatten(), *dense)


def _committee(classes: int) -> jaxnn.Layer:
    """Return two pairs of convolutions of 3 x 3, each pair pooled by 2, and a layer of 128 units."""
    layers = []
    for maps in (32, 64):
        for _ in range(2):
            layers += [nn.conv(maps, 3, padding="valid", init="he"), nn.relu()]
        layers.append(nn.max_pool(2))
    return nn.chain(*layers, nn.flatten(), nn.dense(128, "he"), nn.relu(), nn.dense(classes, "he"))


def _rows_lstm(classes: int) -> jaxnn.Layer:
    """Return a layer of 128 units of long short-term memory that reads the 28 rows of an image, from top to bottom."""
    rows = nn.each_step(nn.flatten())
    return nn.chain(rows, nn.recurrent(nn.lstm_cell(128), "last"), nn.dense(classes))


def _pixels_lstm(classes: int) -> jaxnn.Layer:
    """Return a layer of 128 units of long short-term memory that reads the 784 pixels of an image one by one."""
    return nn.chain(nn.reshape(SIDE * SIDE, 1), *_reads_pixels(classes))


def _permuted_lstm(classes: int) -> jaxnn.Layer:
    """Return the same, of pixels in one fixed random order."""
    return nn.chain(nn.reshape(SIDE * SIDE, 1), nn.permute(), *_reads_pixels(classes))


def _reads_pixels(classes: int) -> tuple[jaxnn.Layer, ...]:
    return nn.recurrent(nn.lstm_cell(128), "last", remat="gates"), nn.dense(classes)


_AFFINE = (data.random_shift(2), data.random_scale(0.1), data.random_shear(10))
_MIXED = (
    *(data.random_rotation(10), data.random_scale(0.12), data.random_shift(2), data.random_shear(8)),
    data.elastic_deformation(30, 5),
)
_ELASTIC = (data.random_rotation(7.5), data.random_scale(0.1), data.elastic_deformation(38, 5))

PRESETS = {
    "lecun-linear": Preset((), 12.0, LECUN, epochs=10),
    "lecun-300": Preset((300,), 4.7, LECUN, epochs=20, activation="tanh", output="linear"),
    "lecun-500-150": Preset((500, 150), 2.95, LECUN, epochs=20, activation="tanh", output="linear"),
    "simard": Preset((800,), 1.6, SIMARD, epochs=20, smoothing=0.1),
    "simard-elastic": Preset(
        (800,),
        0.70,
        SIMARD,
        epochs=200,
        fields=_ELASTIC,
    ),
    "srivastava-dropout": Preset(
        (1024, 1024, 1024),
        1.06,
        "Srivastava et al. 2014",
        epochs=200,
        input_dropout=0.2,
        dropout=0.5,
        max_norm=2.0,
        device="gpu",
    ),
    "ciresan-deformations": Preset(
        (2500, 2000, 1500, 1000, 500),
        0.35,
        "Ciresan, Meier, Gambardella and Schmidhuber 2010",
        epochs=400,
        activation="tanh",
        fields=(data.random_rotation(15), data.random_scale(0.15), data.elastic_deformation(36, 5.5)),
        device="gpu",
    ),
    "lenet5": Preset(_lenet5, 0.95, LECUN, epochs=20, learning_rate=4e-3),
    "lenet5-distorted": Preset(_lenet5, 0.80, LECUN, epochs=60, learning_rate=4e-3, fields=_AFFINE),
    "simard-conv": Preset(_simard_conv, 0.40, SIMARD, epochs=150, learning_rate=4e-3, fields=_ELASTIC),
    "rows-lstm": Preset(_rows_lstm, 1.5, "98.5 % right, usual in tutorials", epochs=15, learning_rate=4e-3),
    "pixels-lstm": Preset(_pixels_lstm, 1.8, ARJOVSKY, epochs=100, learning_rate=1e-3, device="gpu"),
    "permuted-lstm": Preset(_permuted_lstm, 12.0, ARJOVSKY, epochs=100, learning_rate=1e-3, device="gpu"),
    "committee": Preset(
        _committee,
        0.27,
        "Ciresan, Meier, Gambardella and Schmidhuber 2011, a committee of seven",
        epochs=15,
        learning_rate=2e-3,
        fields=_MIXED,
        seeds=5,
        committee=True,
        bar=0.30,  # by five networks instead of seven
    ),
}  # fmt: skip
