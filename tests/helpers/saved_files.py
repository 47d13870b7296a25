"""Files of `jaxnn.save` as any program may write them: any contents and arrays, with a digest that fits."""

import hashlib
import json

from safetensors import safe_open
from safetensors.numpy import load
from safetensors.numpy import save as to_bytes


def written(contents, digest=None, **arrays):
    """The bytes of a file with these contents and a digest that fits."""
    if not isinstance(contents, str):
        contents = json.dumps({"sha256": digest or right(contents, arrays)} | contents)
    return to_bytes(arrays, {"jaxnn": contents})


def right(contents, arrays):
    found = hashlib.sha256(json.dumps(contents).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def read(path):
    """The contents without the digest, and the arrays by name."""
    with safe_open(path, framework="np") as file:
        contents = json.loads(file.metadata()["jaxnn"])
    del contents["sha256"]
    return contents, {name: array.copy() for name, array in load(path.read_bytes()).items()}


def change(path, of_contents=lambda contents: None, arrays=None):
    """Write the file again, with its contents changed in place, and arrays replaced, or left out for `None`."""
    contents, old = read(path)
    of_contents(contents)
    kept = {name: array for name, array in (old | (arrays or {})).items() if array is not None}
    path.write_bytes(written(contents, **kept))
