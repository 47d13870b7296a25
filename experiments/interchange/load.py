"""Import the weights of another library as a network of jaxnn, into the folder of a new run.

The formats are

{formats}

Layers are ordered by the numbers in their names; a single layer needs none. A layer without a bias gets a bias of 0.
Only dense layers can be imported. Pickles (.pt, .pth) are not read, since they can run any code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.interchange.formats import FORMATS, check_format, module
from experiments.runs.folder import StartRun
from experiments.runs.options import RunOptions
from experiments.runs.study import Study

DESCRIPTION = __doc__.format(
    formats="\n\n".join(f"{name}: {kind.what} ({kind.suffix})" for name, kind in FORMATS.items() if kind.imported)
)
STUDY = Study(
    name="import",
    package=__name__,
    module=__name__,
    title="Weights of another library as a network of jaxnn.",
    question="Which network has these weights?",
    expected="a network whose outputs differ from those of the other library only by rounding.",
    description=DESCRIPTION,
    not_repeatable=("the run is an import, which has no training to resume or repeat: import the file again"),
)


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """The options of `import`."""

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The file of weights."""
    from_: Annotated[str, tyro.conf.arg(name="from", metavar="FORMAT")]
    """One of the formats above."""
    activation: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """The activation of all hidden layers: relu, tanh, gelu, ..."""
    output: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """The outputs: logits of binary or softmax probabilities, or values (linear, relu)."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME NAME ...")] = ()
    """The names of the classes; by default their numbers."""
    image_shape: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH 3")] = None
    """The shape of the inputs if they are images with pixels from 0 to 1, so that predict can read photos."""
    tensorboard: tyro.conf.Suppress[bool] = False
    checkpoint_every: tyro.conf.Suppress[float] = 0.0
    keep: tyro.conf.Suppress[int] = 1


def run_study(options: Options, start: StartRun) -> None:
    """Read the weights, and store the network in a new folder.

    Raises:
      ValueError: if the file is invalid, or an option does not fit it.
      OSError: if a file cannot be read or written.
    """
    check_format("--from", options.from_, imported=True)
    from experiments.interchange.layers import network_of
    from experiments.networks.storage import SUFFIX, encode

    layers = module(options.from_).read(options.file)
    network = network_of(layers, options.activation, options.output, options.classes, options.image_shape)
    data = encode(network)
    folder = start()
    name = options.file.name.removesuffix(FORMATS[options.from_].suffix).removesuffix(SUFFIX) or "network"
    folder.write_bytes(name + SUFFIX, data)
    spec = network.spec
    report = (
        f"{name}{SUFFIX!s}: {spec} ({spec.activation}, {spec.output}), {spec.n_params} params, from {options.file}\n"
    )
    folder.write_text("report.txt", report)
    print(report, end="")
    print("use export with this folder, or predict if --image-shape was given; in Python:\n")
    print(code(str(folder.path / (name + SUFFIX))) + "\n")


def code(file: str) -> str:
    """Return code that loads the network."""
    return f"""\
import pathlib; from experiments.networks import storage
network = storage.load(pathlib.Path({file!r}))
model, params = network.spec.model(), network.params"""
