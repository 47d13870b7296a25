"""Import the weights of another library as a network of jaxnn, into the folder of a new run.

The formats are

{formats}

Weights do not determine layers. The layers are

- those of the file, if it has them: a .keras archive, an ONNX graph;
- with --like, those of a network of a run, such as one that was exported;
- with --layers, those of jaxnn.nn as in Python, and --in-shape, the shape of one example, channels last:
  --layers "conv(6, 5), relu(), max_pool(2), flatten(), dense(10)" --in-shape 28 28 1, or
  --layers "bidirectional(gru_cell(64)), each_step(dense(10))" --in-shape 100 8, T times of n numbers;
- otherwise dense ones with --activation between them, as many as the file has.

Arrays belong to the layer that they fit by name and shape; equal ones are in the order of the numbers in their names,
or, with --order, of the words: --order bn layer downsample fc. A layer without a bias gets a bias of 0. In PyTorch and
ONNX, channels are first: a dense layer behind a flatten gets its columns in jaxnn's order, where channels are last. So
do the gates of recurrences, which are f i o g of an LSTM and r z g of a GRU here; two biases that are added become one.
Pickles (.pt, .pth) are not read, since they can run any code.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.interchange.formats import FORMATS, check_format, module
from experiments.runs.folder import StartRun
from experiments.runs.options import RunOptions
from experiments.runs.study import Study

if TYPE_CHECKING:
    from experiments.interchange.names import Contents
    from experiments.interchange.tables import Table
    from experiments.networks.spec import Spec
    from experiments.networks.storage import StoredNetwork

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
    like: Annotated[Path | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """The results folder of a run whose network has the layers of the file."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """With --like: the network, by the name of its file. By default the deepest."""
    layers: Annotated[str, tyro.conf.arg(metavar="LAYERS")] = ""
    """The layers of the file, as in Python."""
    in_shape: Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="N N ...", help_behavior_hint="")] = None
    """With --layers: the shape of one example, channels last."""
    order: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WORD WORD ...")] = ()
    """The order of words in the names of layers, where numbers do not order them."""
    transpose_kernel: tyro.conf.FlagCreatePairsOff[bool] = False
    """With --from flax: its transposed convolutions were made with transpose_kernel=True."""
    activation: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """Without --like and --layers: the activation of all hidden layers, relu, tanh, gelu, ..."""
    output: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """The outputs: logits of binary or softmax probabilities, or values (linear, relu)."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME NAME ...")] = ()
    """The names of the classes; by default their numbers."""
    image_shape: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="HEIGHT WIDTH 3")] = None
    """The shape of the inputs if they are images with pixels from 0 to 1, so that predict can read photos."""
    tensorboard: tyro.conf.Suppress[bool] = False
    checkpoint_every: tyro.conf.Suppress[float] = 0.0
    keep: tyro.conf.Suppress[int] = 1
    track: tyro.conf.Suppress[str | None] = None


def run_study(options: Options, start: StartRun) -> None:
    """Read the weights, and store the network in a new folder.

    Raises:
      ValueError: if the file is invalid, or an option does not fit it.
      OSError: if a file cannot be read or written.
    """
    check_format("--from", options.from_, imported=True)
    from experiments.networks.storage import SUFFIX, encode

    network = _network(options)
    data = encode(network)
    folder = start()
    name = options.file.name.removesuffix(FORMATS[options.from_].suffix).removesuffix(".keras").removesuffix(SUFFIX)
    name = name or "network"
    folder.write_bytes(name + SUFFIX, data)
    spec = network.spec
    report = f"{name}{SUFFIX!s}: {spec} ({spec.kind}), {spec.n_params} params, from {options.file}\n"
    folder.write_text("report.txt", report)
    print(report, end="")
    print("use export with this folder, or predict if --image-shape was given; in Python:\n")
    print(code(str(folder.path / (name + SUFFIX))) + "\n")


def _network(options: Options) -> "StoredNetwork":
    """Return the network of the file.

    Raises:
      ValueError: if the file is invalid, or an option does not fit it.
      OSError: if the file cannot be read.
    """
    from experiments.interchange.matching import filled
    from experiments.networks.storage import StoredNetwork

    form = module(options.from_)
    if options.transpose_kernel and options.from_ != "flax":
        raise ValueError(f"--transpose-kernel must be given with --from flax, got {options.from_}")
    contents = form.read(options.file)
    table = form.TRANSPOSE_KERNEL_TABLE if options.transpose_kernel else form.TABLE
    spec = _spec(options, contents, table)
    try:
        n_classes = max(2, spec.n_outputs)
    except (TypeError, OverflowError, RecursionError) as error:  # sizes of a damaged file
        raise ValueError(f"{options.file}: its layers are damaged: {error}"[:500]) from None
    if options.classes and len(options.classes) != n_classes:
        raise ValueError(f"--classes must name {n_classes} classes, got {len(options.classes)}")
    n_in, shape = math.prod(spec.in_shape), options.image_shape
    if shape and math.prod(shape) != n_in:
        raise ValueError(f"--image-shape {shape} has {math.prod(shape)} numbers, the network takes {n_in}")
    params, stats = filled(spec, contents, form, table, options.order)
    return StoredNetwork(spec, params, options.classes or tuple(map(str, range(n_classes))), shape, stats=stats)


def _spec(options: Options, contents: "Contents", table: "Table") -> "Spec":
    """Return the network whose layers the file, or else the options state."""
    from experiments.interchange.structure import OUTPUTS, check_option, dense_spec, spec_of_text

    sources = {"the file": contents.spec, "--like": options.like, "--layers": options.layers}
    given = [name for name, source in sources.items() if source]
    if len(given) > 1:
        raise ValueError(f"layers must be stated once, got those of {' and of '.join(given)}")
    if given and options.activation:
        raise ValueError(f"--activation must be omitted, since {given[0]} states all layers, got {options.activation}")
    if options.in_shape and not options.layers:
        raise ValueError(f"--in-shape must be given with --layers, got {options.in_shape} without")
    if options.layers:
        return spec_of_text(options.layers, options.in_shape, options.output)
    if not given:
        return dense_spec(contents.modules, table, options.activation, options.output, options.order)
    spec, output = contents.spec, contents.output
    if options.like:
        from experiments.networks.storage import load_from_run

        spec = load_from_run(options.like, options.network)[1].spec
        output = spec.output
    output = options.output or output
    check_option("output", output, OUTPUTS)
    return dataclasses.replace(spec, output=output)


def code(file: str) -> str:
    """Return code that loads the network."""
    return f"""\
import jaxnn
saved = jaxnn.load({file!r})
model, params, stats = saved.model, saved.params, saved.stats"""
