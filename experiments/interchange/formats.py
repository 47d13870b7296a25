"""The table of formats and the suffixes of their files.

Each format has a module of its name in this folder, with

- `encode(network) -> bytes`, which encodes a `StoredNetwork`;
- `code(network, file) -> str`, Python code that builds the network and loads the file, to be printed;
- `OUTPUT`, the expression of the outputs for inputs x after that code.

One that can be imported also has

- `read(path) -> Contents`, the arrays of a file by module, and its layers, if it states them;
- `TABLE`, how each layer is written there, by the name of its factory;
- `arranged(layers)`, the layers with what the format does to their order, such as `with_channels_first`;
- `arrays_of(layers)`, the named arrays of layers, and `modules_of(arrays)`, named arrays by module.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from experiments.readers.suggestions import suggest


class Format(NamedTuple):
    """A format: its content, the suffix of its files, and whether it can be imported."""

    what: str
    suffix: str
    imported: bool = True


FORMATS = {
    "safetensors": Format(
        "arrays W_1, b_1, W_2, ..., each W (n_out, n_in), or K_1, ... of a convolution", ".safetensors"
    ),
    "npz": Format("the same arrays for NumPy", ".npz"),
    "torch": Format("the state dict of a torch.nn.Sequential", ".torch.safetensors"),
    "flax": Format("the variables of a flax.linen.Sequential, flattened", ".flax.safetensors"),
    "keras": Format("the weights of a keras.Sequential; import also reads .keras archives", ".weights.h5"),
    "onnx": Format("an ONNX model, for its runtimes; needs the package onnx", ".onnx"),
    "stablehlo": Format("a function for JAX, without jaxnn", ".stablehlo", imported=False),
}

_ALSO_CALLED = {
    "hdf5": "keras",
    "h5": "keras",
    "tensorflow": "keras",
    "tf": "keras",
    "linen": "flax",
    "nnx": "flax",
    "numpy": "npz",
    "np": "npz",
    "pytorch": "torch",
    "pt": "torch",
    "pth": "torch",
    "hlo": "stablehlo",
    "mlir": "stablehlo",
}
"""Other names of the formats."""


def module(name: str) -> ModuleType:
    """Import and return the format's module; each needs packages that are slow to import."""
    return importlib.import_module(f"experiments.interchange.{name}")


def names(imported: bool = False) -> str:
    """Return the names of the formats, or of those that can be imported."""
    return ", ".join(name for name, kind in FORMATS.items() if kind.imported or not imported)


def check_format(flag: str, name: str, imported: bool = False) -> None:
    """Raise a ValueError unless the option's value is a format that can be exported or imported."""
    known = [each for each, kind in FORMATS.items() if kind.imported or not imported]
    if name not in known:
        others = {**_ALSO_CALLED, "jax": "flax" if imported else "stablehlo"}
        meant = others.get(name.lower(), "")
        meant = f": did you mean {meant}?" if meant in known else suggest(name, known)
        raise ValueError(f"{flag} must be one of {names(imported)}, got {name!r}{meant}")


def reject_pickles(path: Path, conversion: str) -> None:
    """Raise a ValueError if the file is a pickle, by its name or its content: reading a pickle can run any code.

    Args:
      path: the file.
      conversion: code that converts it to a file that can be imported.
    """
    with path.open("rb") as file:
        start = file.read(9)
    named = path.suffix.lower() in {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"}
    # A safetensors file begins with the length of its header, which can look like the start of a pickle.
    begun = start.startswith((b"PK\x03\x04", b"\x80")) and start[8:] != b"{"
    if named or begun:
        raise ValueError(
            f"{path} is a pickle, or a zip archive of one, which can run any code when it is read: if you trust it, "
            f"convert it with {conversion}"
        )


def reject_shards(path: Path, conversion: str) -> None:
    """Raise a ValueError if the file is one of several that together hold a model, or their index."""
    part = re.search(r"-\d{5}-of-(\d{5})\.safetensors$", path.name)
    if path.name.endswith(".index.json") or part and int(part[1]) > 1:
        raise ValueError(
            f"{path} is a part of a model in several files, but import reads a single one: load the model, and save it "
            f"with {conversion}"
        )
