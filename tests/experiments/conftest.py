"""Synthetic data and small runs, so that the tests need no download and little time."""

import signal

import h5py
import jax
import numpy as np
import pytest

import jaxnn
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, encode


@pytest.fixture(scope="session", autouse=True)
def no_compilation_cache():
    """Compile without a cache, and write nothing to the user's one."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", before)


@pytest.fixture(scope="session", autouse=True)
def natural_width():
    """Unset COLUMNS, which xdist's workers have, so that output is as wide as in a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture
def interruptible():
    """Restore the handling of Ctrl-C, which pytest and its child processes ignore as background jobs of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def write_photos():
    """`write(folder, **changes)`: both HDF5 files; a change replaces a dataset, or leaves it out if it is `None`."""

    def write(folder, **changes):
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for part, m in (("train", 12), ("test", 6)):
            labels = np.arange(m) % 2
            # Cats are brighter, so there is something to learn.
            pixels = random.integers(0, 128, (m, 64, 64, 3)) + 100 * labels[:, None, None, None]
            datasets = {
                f"{part}_set_x": pixels.astype(np.uint8),
                f"{part}_set_y": labels,
                "list_classes": np.array([b"non-cat", b"cat"]),
            }
            with h5py.File(folder / f"{part}_catvnoncat.h5", "w") as file:
                for name, value in (datasets | {k: v for k, v in changes.items() if k in datasets}).items():
                    if value is not None:
                        file[name] = value
        return folder

    return write


@pytest.fixture
def image_run(tmp_path):
    """A run folder with two image networks: for any image, P(cat) of "logistic" is 0.93, that of "deep" 0.20."""
    folder = tmp_path / "runs" / "catvnoncat-made"
    folder.mkdir(parents=True)
    for name, sizes, probability in (("logistic", (12288, 1), 0.93), ("deep", (12288, 2, 1), 0.2)):
        spec = NetworkSpec(sizes)
        model = spec.model()
        arrays = []
        for n_in, n_out in zip(sizes, sizes[1:], strict=False):
            arrays += [np.zeros((n_out, n_in)), np.zeros(n_out)]
        arrays[-1] += np.log(probability / (1 - probability))
        params = jaxnn.models.params_from_arrays(model.network, model.in_shape, arrays)
        data = encode(StoredNetwork(spec, params, ("non-cat", "cat"), (64, 64, 3)))
        (folder / f"{name}.safetensors").write_bytes(data)
    return folder
