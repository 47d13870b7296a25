"""Errors of export and import: one line with the fix, and nothing is lost, written or run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy

from experiments.cli import main
from experiments.interchange.formats import FORMATS, module
from experiments.interchange.matching import filled
from experiments.interchange.structure import dense_spec
from experiments.networks.spec import NetworkSpec
from experiments.networks.storage import StoredNetwork, encode
from tests.experiments.interchange.networks import dense_network

LAYERS = [(np.ones((3, 2), np.float32), np.zeros(3)), (np.ones((1, 3), np.float32), np.zeros(1))]
RELU_BINARY = ["--activation", "relu", "--output", "binary"]


@pytest.fixture
def error_of(capsys, tmp_path, monkeypatch):
    """`error_of(*argv)`: the one line on stderr; no run folder is created, and no file changes."""
    monkeypatch.chdir(tmp_path)

    def contents():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def error_of(*argv):
        before = contents()
        assert main.main(list(argv)) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("error: ")
        assert contents() == before
        assert not Path("runs").exists()
        return err

    return error_of


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "net.safetensors").write_bytes(encode(dense_network(LAYERS, "relu", "binary")))
    return folder


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["made"], "--to"),
        (
            ["made", "--to", "mojo"],
            "--to must be one of safetensors, npz, torch, flax, keras, onnx, stablehlo, got 'mojo'\n",
        ),
        (["made", "--to", "numpy"], "got 'numpy': did you mean npz?"),
        (["made", "--to", "jax"], "got 'jax': did you mean stablehlo?"),
        (["made", "--to", "PyTorch"], "got 'PyTorch': did you mean torch?"),
        (["made", "--to", "safetensor"], "got 'safetensor': did you mean safetensors?"),
        (["made", "--to", "torch", "--out", "net.pt"], "must end in .safetensors"),
        (["made", "--to", "keras", "--out", "net.h5"], "must end in .weights.h5"),
        (["made", "--to", "torch", "--out", "made/b.safetensors"], "must be outside the run's folder"),
        (["made", "--to", "npz", "--out", "absent/b.npz"], "the folder absent of b.npz must exist: create it first"),
        (["made", "--to", "npz", "--network", "other"], "has no network 'other': there are net"),
        (["absent", "--to", "npz"], "absent is not a folder: expected the results folder of a run"),
    ],
)
def test_invalid_exports(error_of, run, argv, message):
    assert message in error_of("export", *argv)


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("onnx", "stablehlo")])
def test_existing_file_is_not_replaced(error_of, run, tmp_path, form):
    (tmp_path / f"net{FORMATS[form].suffix}").write_text("somebody's only copy")
    assert "exists already, and is not replaced: choose another file with --out" in error_of(
        "export", "made", "--to", form
    )


def test_a_folder_or_a_dangling_link_is_not_replaced(error_of, run, tmp_path):
    (tmp_path / "net.npz").symlink_to("nowhere")
    assert "exists already" in error_of("export", "made", "--to", "npz")
    assert (tmp_path / "net.npz").is_symlink()
    (tmp_path / "a.npz").mkdir()
    assert "exists already" in error_of("export", "made", "--to", "npz", "--out", "a.npz")


def safetensors_file(**arrays):
    return safetensors.numpy.save({name.replace("__", "."): np.asarray(a) for name, a in arrays.items()})


W, b, f4 = np.ones((3, 2), np.float32), np.zeros(3, np.float32), np.float32


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        (
            "torch",
            {"0__weight": np.ones((8, 3, 5, 5), f4)},
            "has shape (8, 3, 5, 5), like that of a convolution, and weights do",
        ),
        (
            "flax",
            {"Conv_0__kernel": np.ones((5, 3, 8), f4)},
            "not determine other layers than dense ones: give --like RUN, or --layers",
        ),
        (
            "torch",
            {"0__weight": W, "1__weight": b, "1__bias": b},
            "has shape (3,), like that of a normalization layer or an",
        ),
        ("torch", {"0__weight": W, "1__running_mean": b}, "'1.running_mean' has shape (3,), like that of a norm"),
        (
            "torch",
            {"head__weights": W},
            "'head.weights' must be the name of a layer's array, such as 0.weight",
        ),
        ("torch", {"enc__0__weight": W, "dec__1__weight": W}, "in order, such as --order dec enc"),
        ("torch", {"in__weight": W, "out__weight": W}, "'in' and 'out' have no numbers to order the layers by"),
        ("torch", {"fc1__weight": W, "out__weight": W}, "'fc1' and 'out' have no numbers to order the layers by"),
        (
            "flax",
            {"Dense_0__kernel": W, "out__kernel": W},
            "'Dense_0' and 'out' have no numbers to order the layers by",
        ),
        ("torch", {"0__weight": W, "00__weight": W}, "one layer occurs twice"),
        ("torch", {"0__weight": W, "2__bias": b}, "layer 2 has a bias without weights"),
        ("torch", {"0__weight": W.astype(np.int8)}, "is int8, expected floats: quantized networks cannot be imported"),
        ("torch", {"0__weight": W, "0__bias": np.zeros(4, f4)}, "weights of 3 units but a bias of shape (4,)"),
        ("torch", {"0__weight": W, "2__weight": W}, "layer 2 takes 2 inputs, but layer 1 has 3 units"),
        ("torch", {"0__weight": W * np.nan, "0__bias": b}, "must be finite in float32, got inf or NaN"),
        ("torch", {"0__weight": np.ones((0, 2), f4)}, "sizes"),
        ("torch", {}, "there are no weights"),
        ("safetensors", {"0__weight": W}, "'0.weight' must be the name of a layer's array"),
    ],
)
def test_invalid_networks(error_of, tmp_path, form, content, message):
    (tmp_path / "a.safetensors").write_bytes(safetensors_file(**content))
    assert message in error_of("import", "a.safetensors", "--from", form, *RELU_BINARY)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "binary"], "weights do not determine the activation: give --activation elu, or one of"),
        (["--activation", "relu"], "weights do not determine the output: give --output binary, or one of"),
        (["--activation", "wish", "--output", "binary"], "unknown activation 'wish': give --activation elu"),
        ([*RELU_BINARY[:3], "wish"], "unknown output 'wish': give --output binary"),
        ([*RELU_BINARY[:3], "softmax"], "sizes must end in at least 2 classes"),
        ([*RELU_BINARY, "--classes", "a", "b", "c"], "--classes must name 2 classes, got 3"),
        ([*RELU_BINARY, "--image-shape", "2", "2", "3"], "--image-shape (2, 2, 3) has 12 numbers, the network takes 2"),
    ],
)
def test_options_must_fit_the_weights(error_of, tmp_path, argv, message):
    (tmp_path / "a.npz").write_bytes(module("npz").encode(dense_network(LAYERS, "relu", "binary")))
    assert message in error_of("import", "a.npz", "--from", "npz", *argv)


def test_unknown_formats(error_of):
    known = "--from must be one of safetensors, npz, torch, flax, keras, onnx, got"
    assert f"{known} 'stablehlo'\n" in error_of("import", "a", "--from", "stablehlo", *RELU_BINARY)
    assert f"{known} 'jax': did you mean flax?" in error_of("import", "a", "--from", "jax", *RELU_BINARY)
    assert f"{known} 'pytorch': did you mean torch?" in error_of("import", "a", "--from", "pytorch", *RELU_BINARY)
    assert "--from" in error_of("import", "a", *RELU_BINARY)
    assert "a.safetensors: No such file or directory" in error_of(
        "import", "a.safetensors", "--from", "torch", *RELU_BINARY
    )
    assert "a.npz: No such file or directory" in error_of("import", "a.npz", "--from", "npz", *RELU_BINARY)


class Bomb:
    """Create a file when unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("form", ["torch", "flax"])
@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_not_read(error_of, tmp_path, form, name, zipped):
    data = pickle.dumps(Bomb())
    if zipped:
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr("archive/data.pkl", data)
    else:
        (tmp_path / name).write_bytes(data)
    error = error_of("import", name, "--from", form, *RELU_BINARY)
    assert "is a pickle, or a zip archive of one" in error
    assert f"safetensors.{form}.save_file(" in error
    assert not Path("exploded").exists()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "C64"])
def test_dtype_that_numpy_lacks_is_not_damage(error_of, tmp_path, dtype):
    size = 48 if dtype == "C64" else 6
    contents = json.dumps({"0.weight": {"dtype": dtype, "shape": [3, 2], "data_offsets": [0, size]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(contents).to_bytes(8, "little") + contents + bytes(size))
    message = error_of("import", "a.safetensors", "--from", "torch", *RELU_BINARY)
    assert f"a.safetensors: 0.weight is {dtype}, expected F64, F32, F16 or BF16" in message


@pytest.mark.parametrize("form", ["torch", "flax"])
@pytest.mark.parametrize("name", ["model-00001-of-00002.safetensors", "model.safetensors.index.json"])
def test_shard_is_not_a_network(error_of, tmp_path, form, name):
    (tmp_path / name).write_bytes(safetensors_file(fc1__weight=W))
    assert "is a part of a model in several files, but import reads a single one: load the model" in error_of(
        "import", name, "--from", form, *RELU_BINARY
    )


def test_the_error_for_msgpack_has_the_conversion(error_of, tmp_path):
    (tmp_path / "net.msgpack").write_bytes(b"\x81\xa6params\x80")
    assert "convert it with safetensors.flax.save_file(" in error_of(
        "import", "net.msgpack", "--from", "flax", *RELU_BINARY
    )


# ------------------------------------------------------------------ npz


def npy(shape, data=b"", descr="<f4"):
    """Return a .npy file with this shape in its header."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def npz(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            npz(W_1=npy((2**40, 2**10), bytes(8))),
            "W_1 declares float32 (1099511627776, 1024), more than the remaining 402,653,184 bytes",
        ),
        (npz(W_1=npy((-1, -2), bytes(8))), "expected an array of numbers or words"),
        (npz(W_1=npy((1, 2), bytes(4))), "W_1 declares float32 (1, 2), 8 bytes, but has 4"),
        (npz(W_1=npy((1,), pickle.dumps(Bomb()), "|O")), "expected an array of numbers or words"),
        (npz(W_1=b"no array"), "is not a valid npz file: the magic string is not correct"),
        (npz(W_1=npy((1, 2), bytes(8)))[:-30], "does not end as a small zip archive does"),
        (b"", "does not end as a small zip archive does"),
        (b"text", "does not end as a small zip archive does"),
        (npz(), "does not end as a small zip archive does"),
    ],
)
def test_npz_files(error_of, tmp_path, content, message):
    (tmp_path / "a.npz").write_bytes(content)
    assert message in error_of("import", "a.npz", "--from", "npz", *RELU_BINARY)
    assert not Path("exploded").exists()


def test_an_npz_that_unpacks_to_more_than_memory(error_of, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.readers.npz.MOST_BYTES", 2**20)
    content = npz(W_1=npy((2**20, 1), bytes(2**22)))
    assert len(content) < 10_000
    (tmp_path / "a.npz").write_bytes(content)
    assert "more than the remaining 1,048,576 bytes" in error_of("import", "a.npz", "--from", "npz", *RELU_BINARY)


# ------------------------------------------------------------------ HDF5


def keras_file(path, make):
    with h5py.File(path, "w") as file:
        make(file, file.create_group("layers/dense/vars"))


def linked(file, variables):
    variables["0"] = h5py.ExternalLink("secret.h5", "/W")


def soft_linked(file, variables):
    file["W"], variables["0"] = W.T, h5py.SoftLink("/W")


def external(file, variables):
    Path("secret.bin").write_bytes(bytes(24))
    variables.create_dataset("0", (2, 3), "<f4", external=[("secret.bin", 0, 24)])


def virtual(file, variables):
    layout = h5py.VirtualLayout((2, 3), "<f4")
    layout[:] = h5py.VirtualSource("secret.h5", "W", (2, 3))
    variables.create_virtual_dataset("0", layout)


def huge(file, variables):
    variables.create_dataset("0", (2**30, 2**20), "<f4")


def huge_in_chunks(file, variables):
    variables.create_dataset("0", (2**30, 2**20), "<f4", chunks=(2**10, 2**10), compression="gzip")


def convolution(file, variables):
    file["layers/conv2d/vars/0"], variables["0"] = np.ones((3, 3, 1, 8), f4), W.T


def normalization(file, variables):
    file["layers/batch_normalization/vars/0"], variables["0"] = b, W.T


def embedding(file, variables):
    file["layers/embedding_1/vars/0"], variables["0"] = W, W.T


def quantized(file, variables):
    variables["0"] = W.T.astype(np.int8)


def other_bits(file, variables):
    variables["0"] = W.T.astype(np.float16).view("V2")


def twice(file, variables):
    variables["0"] = W.T
    file["layers/functional/layers/dense/vars/0"] = W


def words(file, variables):
    variables["0"] = "words"


@pytest.mark.representatives(
    "<lambda>-there are no weights",
    "huge-message4",
    "quantized-is int8, expected floats: quantized networks cannot be imported",
)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (linked, "there are no weights"),
        (soft_linked, "has W, expected layers/LAYER/vars/0 and the like"),
        (external, "has no dataset layers/dense/vars/0"),
        (virtual, "has no dataset layers/dense/vars/0"),
        (huge, "layers/dense/vars/0 is <f4 (1073741824, 1048576), expected floats, and no more than 268,435,456 bytes"),
        (huge_in_chunks, "is <f4 (1073741824, 1048576), expected floats, and no more than 268,435,456 bytes"),
        (convolution, "'conv2d.0' has shape (3, 3, 1, 8), like that of a convolution, and weights do not"),
        (normalization, "'batch_normalization.0' has shape (3,), like that of a normalization layer"),
        (embedding, "'dense' and 'embedding_1' have no numbers to order the layers by"),
        (quantized, "is int8, expected floats: quantized networks cannot be imported"),
        (other_bits, "layers/dense/vars/0 is |V2 (2, 3), expected floats"),
        (twice, "'dense' and 'functional/layers/dense' have no numbers to order the layers by"),
        (words, "layers/dense/vars/0 is names (), expected floats"),
        (lambda file, variables: None, "there are no weights"),
    ],
)
def test_keras_files(error_of, tmp_path, make, message):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["W"] = W.T
    keras_file(tmp_path / "a.weights.h5", make)
    assert message in error_of("import", "a.weights.h5", "--from", "keras", *RELU_BINARY)


def test_files_that_keras_does_not_write(error_of, tmp_path):
    (tmp_path / "a.weights.h5").write_bytes(b"text")
    assert "is damaged or not an HDF5 file" in error_of("import", "a.weights.h5", "--from", "keras", *RELU_BINARY)
    (tmp_path / "a.h5").write_bytes(b"PK\x03\x04")
    assert "must end in .keras or .weights.h5, as written by net.save('net.keras') or net.save_weights(" in error_of(
        "import", "a.h5", "--from", "keras", *RELU_BINARY
    )


# ------------------------------------------------------------------ damage anywhere


@pytest.mark.representatives("torch", "safetensors", "npz", "flax")
@pytest.mark.parametrize("form", ["safetensors", "npz", "torch", "flax", "keras"])
def test_damage_anywhere_is_an_error_or_other_numbers(tmp_path, form):
    network = dense_network(LAYERS, "relu", "binary")
    good, random = module(form).encode(network), np.random.default_rng(0)
    path = tmp_path / f"net{FORMATS[form].suffix}"
    # HDF5 is read by a process of its own, which takes a while.
    error_of, n = 0, 15 if form == "keras" else 60
    for _ in range(n):
        data = bytearray(good)
        for at in random.integers(0, min(len(data), 1500), random.integers(1, 4)):
            data[at] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if random.random() < 0.3 else data)
        try:
            contents = module(form).read(path)
            filled(dense_spec(contents.modules, module(form).TABLE, "relu", "binary"), contents, module(form))
        except ValueError:
            error_of += 1
    assert error_of > n / 6


def test_export_does_not_change_the_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = (run / "net.safetensors").read_bytes()
    for form in FORMATS:
        if form not in ("onnx", "stablehlo"):
            assert main.main(["export", "made", "--to", form]) == 0
    assert (run / "net.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_name_of_the_file_without_a_stem(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".npz").write_bytes(module("npz").encode(StoredNetwork(NetworkSpec((2, 3, 1)), _params(), ())))
    assert main.main(["import", ".npz", "--from", "npz", *RELU_BINARY]) == 0
    assert "network.safetensors: 2-3-1 (relu, binary)" in capsys.readouterr().out


def _params():
    return dense_network(LAYERS, "relu", "binary").params
