"""Export a trained network, for another library or as a function of its own.

The FORMATS are

{formats}

A file that is there is never replaced. A network that was trained on standardised inputs takes raw ones afterwards: the
standardisation becomes a part of the first layer's weights (of the function, with stablehlo). What is printed loads it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.new_file import write_new
from experiments.travel.formats import FORMATS, module, names

if TYPE_CHECKING:
    from experiments.network_file import StoredNetwork

DESCRIPTION = __doc__.format(
    formats="\n\n".join(f"{name}: {kind.what} ({kind.suffix})" for name, kind in FORMATS.items())
)


@dataclass(frozen=True)
class Options:
    """What to export, and as what."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The results folder of a run."""
    to: Annotated[str, tyro.conf.arg(metavar="FORMAT")]
    """One of the formats above."""
    network: Annotated[str, tyro.conf.arg(metavar="NAME")] = ""
    """A network of the run, by the name of its file. By default the deepest."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where to; by default a file of the network's name in this folder."""


def export(options: Options) -> str:
    """Write the file; what to tell of it, with the lines that load it.

    Raises:
      ValueError, OSError: what is wrong with the run, or with the place of the file.
    """
    if options.to not in FORMATS:
        raise ValueError(f"--to {options.to} is no format: there are {names()}")
    from experiments import encoder  # slow to import, so not for --help
    from experiments.network_file import load_from_run

    name, network = load_from_run(options.run, options.network)
    suffix = FORMATS[options.to].suffix
    out = options.out or Path(name + suffix)
    ending = suffix if options.to == "keras" else Path(suffix).suffix
    if not out.name.endswith(ending):
        raise ValueError(f"--out {out} must end in {ending}, by which others know what it is")
    if out.absolute().parent.resolve() == options.run.resolve():
        raise ValueError(f"--out {out} is in the run's folder, where predict looks for networks: choose another one")
    form = module(options.to)
    write_new(out, form.encode(network))
    told = _told(name, network, options.to, out)
    rows = options.run / encoder.FILE
    if rows.exists():
        told.insert(2, f"A row becomes inputs as {rows} says: each number, and a 0 or 1 for each level of a word.")
    return "\n".join([*told, "", form.code(network.spec, str(out))])


def _told(name: str, network: "StoredNetwork", form: str, out: Path) -> list[str]:
    spec = network.spec
    inputs = f"x is (m, {spec.sizes[0]})"
    if network.image_shape:
        inputs += f": images of {' x '.join(map(str, network.image_shape))}, flattened, pixels divided by 255"
    if network.standardizer is not None:
        where = "in the function" if form == "stablehlo" else "in the first layer's weights"
        inputs += f"; not standardised, since that is done {where}"
    logits = {"binary": "logits, whose sigmoid is ", "softmax": "logits, whose softmax is "}.get(spec.output)
    answer = f"the probability of {_classes(network)}" if logits else "the values"
    result = answer if form == "stablehlo" else (logits or "") + answer
    return [
        f"{out}: {name}, {spec} ({spec.activation}, {spec.output}), {spec.n_params} params, in float32.",
        f"{inputs}.",
        f"After these lines, {module(form).OUTPUT} gives {result}:",
    ]


def _classes(network: "StoredNetwork") -> str:
    return network.classes[1] if network.spec.sizes[-1] == 1 else f"each class, {', '.join(network.classes)}"
