"""Messages for invalid files, and links out of a run's folder."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from experiments.cli import main
from experiments.cli.compare import read_run
from experiments.networks.storage import load
from experiments.readers.errors import InvalidFileError, check_file, path_inside
from experiments.readers.idx import read_idx
from experiments.readers.photo import read_photo


def test_message_is_one_line_for_any_content():
    message = str(InvalidFileError("net has a\nbad\x1b[2J name \udcff é"))
    assert message == "net has a\\nbad\\x1b[2J name \\udcff é"
    assert len(str(InvalidFileError("a" * 10**6))) < 3000


def test_pipe_device_and_folder_raise_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe.gz")
    for path in (tmp_path / "pipe.gz", tmp_path):
        for read in (lambda path: read_idx(path, 3), load, lambda path: read_photo(path, 8, 8)):
            with pytest.raises(InvalidFileError, match="must be a plain file"):
                read(path)
    (tmp_path / "large").write_bytes(bytes(101))
    with pytest.raises(InvalidFileError, match="must have at most 100 bytes, got 101"):
        check_file(tmp_path / "large", 100)


def test_paths_out_of_a_run_are_rejected(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret").write_text("x")
    (run / "link").symlink_to(tmp_path / "secret")
    (run / "own").symlink_to(run / "real")
    for name in ("link", "../secret", str(tmp_path / "secret")):
        with pytest.raises(InvalidFileError, match="must be inside its folder"):
            path_inside(run, name)
    assert path_inside(run, "own") == run / "own"
    (tmp_path / "elsewhere").symlink_to(run)  # the folder itself may be reached by a link
    assert path_inside(tmp_path / "elsewhere", "own").name == "own"


def test_predict_rejects_links_out_of_a_run(capsys, tmp_path, image_run):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (image_run / "deep.safetensors").rename(tmp_path / "away")
    (image_run / "deep.safetensors").symlink_to(tmp_path / "away")
    assert main.main(["predict", str(image_run), str(tmp_path / "a.png")]) == 2
    assert "deep.safetensors must be inside its folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["two words", "наука 数据 é", b"caf\xe9".decode("utf-8", "surrogateescape")])
def test_names_with_spaces_and_of_every_alphabet(tmp_path, image_run, capsys, name):
    """The last name is not UTF-8, which is allowed on Linux."""
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this disk has no such names")
    run, photo = folder / "run", folder / "a b.png"
    image_run.rename(run)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(photo)
    assert main.main(["predict", str(run), str(photo)]) == 0
    assert "probability" in capsys.readouterr().out


@pytest.mark.full
def test_folder_name_that_is_not_utf8_can_be_printed(tmp_path, image_run):
    folder = tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this disk has no such names")
    argv = ["sweep", "digits", "--learning-rate", "0.01", "--seed", "0", "--epochs", "1", "--runs-dir", str(folder)]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}  # as in most languages' locales
    done = subprocess.run([sys.executable, "-m", "experiments", *argv], capture_output=True, env=strict, check=False)
    assert done.returncode == 0
    # A slow machine prints its progress; an error would be another line.
    assert all(line.startswith("sweep digits: ") for line in done.stderr.decode().splitlines())
    assert b"results in" in done.stdout


@pytest.mark.parametrize("name", ["config.json", "report.txt", "metrics.jsonl"])
def test_compare_rejects_links_out_of_a_run(tmp_path, name):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"experiment": "ladder"}')
    (tmp_path / "secret").write_text('{"experiment": "ladder"}')
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidFileError, match=f"{name} must be inside its folder"):
        read_run(run, "run")
