"""Read datasets of an HDF5 file in a separate process, which `experiments.readers.hdf5` starts and monitors.

    python -P hdf5_worker.py PATH MOST_BYTES NAME...

It imports nothing of the project, and writes a line of JSON and then the numbers of each array to its standard output.
"""

import json
import signal
import sys
from itertools import islice

SECONDS = 1.0
"""Limit of processor time; the usual time is some hundredths of a second."""
MOST_MEMORY = 3 * 2**29
_MOST_NAMES = 1000


def main(path: str, most_bytes: int, names: list[str]) -> None:
    limit_memory()
    import h5py  # within the limits

    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # at its end the process is killed
    try:
        with h5py.File(path, "r") as file:
            described, arrays = {}, []
            for name in names:
                if (found := describe(file, name)) is not None:
                    dataset, described[name] = found
                    if described[name]["dtype"] == "names":
                        described[name]["names"] = words(dataset)
                    elif described[name]["dtype"] == "bfloat16" and dataset.nbytes <= most_bytes:
                        described[name]["sent"] = True
                        arrays.append(dataset[...].view("<u2"))
                    elif dataset.dtype.kind in "biuf" and dataset.nbytes <= most_bytes:
                        described[name]["sent"] = True
                        arrays.append(dataset[...])
            listed = islice(file, 20) if names else islice(dataset_names(file), _MOST_NAMES)
            output = {"datasets": described, "all": list(map(in_words, listed))}
    except Exception as error:  # for a damaged file the library may raise anything
        output, arrays = {"damaged": f"{type(error).__name__}: {error}"[:500]}, []
    sys.stdout.buffer.write(json.dumps(output).encode() + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(array.data)


def in_words(name):
    """Return the name as text; h5py returns bytes for a name that is not UTF-8."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def dataset_names(group, prefix="", depth=16):
    """Yield the names of all datasets below the group, without following links."""
    import h5py

    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            item = group[name]
            if isinstance(item, h5py.Dataset):
                yield prefix + name
            elif depth:
                yield from dataset_names(item, f"{prefix}{name}/", depth - 1)


def limit_memory() -> None:
    """Limit the process's memory if the system supports it: a small chunk may unpack to any size."""
    try:
        import resource
    except ImportError:
        return
    highest = resource.getrlimit(resource.RLIMIT_AS)[1]
    bytes_ = MOST_MEMORY if highest == resource.RLIM_INFINITY else min(MOST_MEMORY, highest)
    resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def describe(file, name):
    """Return the dataset, and its shape and dtype; `None` if it does not exist, or is stored elsewhere."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):  # a link may lead to any other file
        return None
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.external or dataset.is_virtual:
        return None
    kind = dataset.dtype.kind
    if kind == "S" or h5py.check_string_dtype(dataset.dtype):
        kind = "names"
    if dataset.dtype.str == "|V2" and dataset.attrs.get("dtype") == "bfloat16":  # as Keras writes it
        kind = "bfloat16"
    dtype = kind if len(kind) > 1 else dataset.dtype.str if kind in "biuf" else str(dataset.dtype)
    return dataset, {"dtype": dtype, "shape": dataset.shape}


def words(dataset):
    if dataset.size > _MOST_NAMES:
        return None
    return [bytes(word)[:1000].decode("utf-8", "replace") for word in dataset[...].ravel()]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
