"""Export a trained network to another library, or as a function.

The formats are

{formats}

All have convolutional and recurrent networks too, and attention; a layer that a format lacks is an error, except in a
function, which has any. In PyTorch and ONNX, channels are first: x is (m, channels, height, width); but sequences are
(m, T, n), as here. Gates are in the order of the format: i f g o of an LSTM in PyTorch, Flax and Keras, i o f g in
ONNX; r z n of a GRU in PyTorch and Flax, z r h in Keras and ONNX. An existing file is never replaced. If the
network was trained on standardized inputs, the exported one takes raw inputs: the standardization is folded into the
first layer's weights, or, before a convolution, becomes a batch normalization, or is part of the function (stablehlo).
In float32, columns that are far from 0 relative to their deviation lose digits; if outputs differ by more than 1e-5, a
note is printed. With --inputs standardized, the network is exported as it was trained, and means and deviations are
written to a separate file. The command prints the code that loads the files.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.interchange.formats import FORMATS, check_format, module
from experiments.readers.errors import printable
from experiments.runs.atomic_write import write_new
from experiments.runs.config import read_json_config

if TYPE_CHECKING:
    from experiments.networks.storage import StoredNetwork
    from jaxnn import Standardizer

_STATISTICS = ".inputs.npz"
"""The suffix of the file of means and deviations, for a network of standardized inputs."""
_SCALES = dict.fromkeys(("mnist", "sweep-mnist"), ": images of 28 x 28{flattened}, pixels divided by 255")
"""The scale of inputs by experiment, if the stored network does not contain it."""
DESCRIPTION = __doc__.format(
    formats="\n\n".join(f"{name}: {kind.what} ({kind.suffix})" for name, kind in FORMATS.items())
)


@dataclass(frozen=True)
class Options:
    """The options of `export`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    to: Annotated[str, tyro.conf.arg(metavar="FORMAT")]
    """One of the formats above."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run, by the name of its file. By default the deepest."""
    inputs: Literal["raw", "standardized"] = "raw"
    """The inputs of the exported network: raw, or standardized with the training set's means and deviations."""
    fold: bool = False
    """Without the batch normalizations that come right after a dense layer or a convolution: these compute them too."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The file; by default in the current folder, with the name of the network."""


def run_command(options: Options) -> str:
    """Write the file; return its description, with the code that loads it.

    Raises:
      ValueError: if the run has no such network, an option is invalid, or the file exists already.
      OSError: if a file cannot be read or written.
    """
    check_format("--to", options.to)
    from experiments.interchange.folding import folded
    from experiments.networks.storage import load_from_run
    from experiments.networks.tables import shape_of_row

    name, network = load_from_run(options.run, options.network)
    row = shape_of_row(network.spec.in_shape)
    if row and row.categories:
        raise ValueError(
            f"export needs a network that takes one array, got {name}, which embeds words: use predict for new rows"
        )
    if options.fold:
        network = folded(network)
    suffix = FORMATS[options.to].suffix
    out = options.out or Path(name + suffix)
    ending = suffix if options.to == "keras" else Path(suffix).suffix
    if not out.name.endswith(ending):
        raise ValueError(f"--out {out} must end in {ending}, so that other programs recognize it")
    if out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out must be outside the run's folder, where predict looks for networks, got {out}")
    form, lines = module(options.to), _described(name, network, options, out)
    exported = network._replace(standardizer=None) if options.inputs == "standardized" else network
    code = form.code(exported, str(out))
    if options.inputs == "standardized":
        if network.standardizer is None:
            raise ValueError(f"--inputs standardized needs a network with means and deviations, which {name} lacks")
        write_new(out, form.encode(exported))
        beside = out.with_name(out.name.removesuffix(ending).removesuffix(suffix.removesuffix(ending)) + _STATISTICS)
        try:
            write_new(beside, _statistics(network.standardizer))
        except (ValueError, OSError):
            out.unlink()
            raise
        code = _standardizing(str(beside)) + code
    else:
        data = form.encode(network)
        if network.standardizer is not None:
            lines[1:1] = _differs(options, network)
        write_new(out, data)
    return "\n".join([*lines, "", code])


def _described(name: str, network: "StoredNetwork", options: Options, out: Path) -> list[str]:
    """Return lines about the content of the file, its inputs x, and the result of the printed code."""
    from experiments.datasets import encoder
    from experiments.interchange.channels_first import starts_last
    from experiments.interchange.layers import layers_of

    spec = network.spec
    logits = {"binary": "the logits, whose sigmoid is ", "softmax": "the logits, whose softmax is "}.get(spec.output)
    values = f"the probability of {_classes(network)}" if logits else "the values"
    result = values if options.to == "stablehlo" else (logits or "") + values
    rows, form = options.run / encoder.FILE, module(options.to)
    first = getattr(form, "CHANNELS_FIRST", False) and not starts_last(layers_of(network))
    in_shape = (*spec.in_shape[-1:], *spec.in_shape[:-1]) if first else spec.in_shape
    return [
        f"{out}: {name}, {spec} ({spec.kind}), {spec.n_params} params, in float32.",
        f"x is (m, {', '.join(map(str, in_shape))}) in {spec.in_dtype}{_scale(network, options)}.",
        *([f"{rows} has the encoding of {_encoded(options.run)}."] if rows.exists() else []),
        f"After these lines, {form.OUTPUT} is {result}:",
    ]


def _encoded(run: Path) -> str:
    """Return what the encoding in a run's folder is of."""
    from experiments.datasets.folder_inputs import load_inputs

    inputs = load_inputs(run)
    if inputs is None:
        return "rows: one input per column of numbers, and one per level of a word"
    return "photos: pixels from 0 to 1" if inputs.kind == "photos" else "recordings: log-mel features"


def _scale(network: "StoredNetwork", options: Options) -> str:
    """Return the text on the scale of x."""
    if options.inputs == "standardized":
        return ": standardized(rows) of raw rows in float64"
    if network.spec.in_dtype == "int32":
        return ", the rows of its embedding"
    if network.image_shape:
        return f": images of {' x '.join(map(str, network.image_shape))}, flattened, pixels divided by 255"
    if network.standardizer is not None:
        where = "in the first layer's weights" if len(network.spec.in_shape) == 1 else "in its layers"
        return f"; raw, since standardization is {'in the function' if options.to == 'stablehlo' else where}"
    try:
        experiment = read_json_config(options.run)["experiment"]
    except ValueError:
        experiment = ""
    if experiment == "ladder" and len(network.spec.in_shape) == 2:
        return ", features as in training"
    scale = _SCALES.get(experiment, ", on the scale of training, which the run does not record")
    return scale.format(flattened=", flattened" if len(network.spec.in_shape) == 1 else "")


def _differs(options: Options, network: "StoredNetwork") -> list[str]:
    """Return a note if, on raw float32 inputs, the exported network differs from the run's by more than rounding."""
    from experiments.interchange import agreement

    difference = agreement.difference(network, options.to)
    if difference <= agreement.BOUND:
        return []
    return [
        f"note: on float32 inputs, outputs differ by up to {difference:.1g} of their size from those of the run, "
        f"because columns far from 0 lose digits (|mean|/deviation: "
        f"{agreement.farthest(network, _input_names(options.run, network))}); --inputs standardized avoids this."
    ]


def _input_names(run: Path, network: "StoredNetwork") -> list[str]:
    """Return the names of a CSV file's columns, or x[:, 0] and so on."""
    from experiments.datasets import encoder
    from experiments.datasets.columns import width
    from experiments.datasets.folder_inputs import load_inputs

    names = []
    if (run / encoder.FILE).exists() and load_inputs(run) is None:
        names = [column.name for column in encoder.load(run).columns for _ in range(width([column]))]
    n = network.standardizer.mean.size
    return [printable(name) for name in names] if len(names) == n else [f"x[..., {i}]" for i in range(n)]


def _statistics(stats: "Standardizer") -> bytes:
    """Return an npz file with mean and std."""
    import numpy as np

    file = io.BytesIO()
    np.savez(file, mean=np.asarray(stats.mean, np.float64), std=np.asarray(stats.std, np.float64))
    return file.getvalue()


def _standardizing(file: str) -> str:
    """Return code that defines `standardized`, computed as in the run."""
    return f"""\
import numpy
inputs = dict(numpy.load({file!r}))
def standardized(rows):
    return numpy.float32((numpy.asarray(rows, float) - inputs["mean"]) / inputs["std"])
"""


def _classes(network: "StoredNetwork") -> str:
    return network.classes[1] if network.spec.n_outputs == 1 else f"each class, {', '.join(network.classes)}"
