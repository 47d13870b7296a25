"""A working folder, Keras on JAX, and the import of a file."""

import ast
import os
import re
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.networks.storage import load


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, whose name has a space and letters that are not ASCII."""
    folder = tmp_path / "Netze für später"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def keras(tmp_path_factory):
    """Keras on JAX, with its settings in a temporary folder."""
    os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"] = "jax", str(tmp_path_factory.mktemp("keras"))
    return pytest.importorskip("keras")


@pytest.fixture
def torch():
    """PyTorch, whose random numbers are those of a seed."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture
def import_(capsys, folder):
    """`import_(file, format, *argv)`: the network that the new run has, whose model the printed lines load."""

    def import_(file, form, *argv):
        assert main.main(["import", str(file), "--from", form, *argv]) == 0
        code, namespace = capsys.readouterr().out.split("\n\n")[1], {}
        exec(code, namespace)
        network = load(Path(ast.literal_eval(re.search(r"load\((.*)\)", code)[1])))
        assert namespace["model"] == network.spec.stored_model()
        return network

    return import_
