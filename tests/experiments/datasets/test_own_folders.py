"""Folders of photos and of recordings, one for each class: from two commands to the class of each file."""

import csv
import io
import json
import wave

import numpy as np
import pytest
from PIL import Image

import jaxnn
from experiments.cli import main
from experiments.datasets.folder_inputs import Photos, Recordings, as_json, load_inputs
from experiments.datasets.own_folders import listed_files, read_own_folder
from experiments.readers.errors import InvalidFileError
from experiments.runs.environment import digest
from experiments.studies.ladder import Options

FRACTIONS = 0.7, 0.15, 0.15


def photo(path, color, size=(20, 30)):
    random = np.random.default_rng([*path.name.encode()])
    pixels = random.integers(0, 120, (*size, 3))
    pixels[..., color] += 100
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def tone(path, frequency, seconds=0.4):
    times = np.arange(int(8000 * seconds)) / 8000
    noise = np.random.default_rng(0).normal(0, 300, len(times))
    samples = (1e4 * np.sin(2 * np.pi * frequency * times) + noise).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


@pytest.fixture
def pets(tmp_path):
    """Red cats and blue dogs, 20 each."""
    for name, color in (("cats é", 0), ("dogs, all", 2)):
        (tmp_path / "my pets" / name).mkdir(parents=True)
        for i in range(20):
            photo(tmp_path / "my pets" / name / f"{i} photo.{'png' if i % 2 else 'JPG'}", color)
    return tmp_path / "my pets"


@pytest.fixture
def tones(tmp_path):
    """Low and high tones, 12 each."""
    for name, frequency in (("high", 1500), ("low", 200)):
        (tmp_path / "tones" / name).mkdir(parents=True)
        for i in range(12):
            tone(tmp_path / "tones" / name / f"{i}.wav", frequency * (1 + i / 50), 0.3 + i / 50)
    return tmp_path / "tones"


def read(path, **options):
    return read_own_folder(Options(data=path, **options), FRACTIONS, 0)


@pytest.mark.parametrize("gray", [False, True])
def test_photos_are_resized_and_standardized_by_the_training_part(pets, gray):
    (pets / "notes.txt").write_text("")
    (pets / "cats é" / ".hidden.png").write_text("")
    data = read(pets, size=8, gray=gray)
    assert data.classes == ("cats é", "dogs, all") and data.train.x.shape == (28, 8, 8, 1 if gray else 3)
    assert data.notes[-1] == "left out: 1 other files or folders, the first notes.txt"
    channels = data.train.x.reshape(-1, 1 if gray else 3).astype(np.float64)
    np.testing.assert_allclose(channels.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(channels.std(axis=0), 1, rtol=1e-5)
    files = sorted(pets.glob("*/[0-9]*"))
    y = np.repeat([0, 1], 20)
    rows = jaxnn.split(np.arange(40), y, FRACTIONS, seed=0, stratify=True)[2].x
    assert data.test.y.tolist() == y[rows].tolist()
    for i, x in zip(rows, data.test.x, strict=True):
        expected = Image.open(files[i]).convert("L" if gray else "RGB").resize((8, 8), Image.Resampling.BICUBIC)
        pixels = x * data.standardizer.std + data.standardizer.mean
        np.testing.assert_allclose(pixels.reshape(8, 8, -1).squeeze() * 255, np.asarray(expected), atol=1e-3)


def test_recordings_are_padded_features(tones):
    data = read(tones, seconds=0.5)
    assert data.classes == ("high", "low") and data.train.x.shape[1:] == (50, 32) and data.standardizer is None
    x, y = (np.concatenate([getattr(part, name) for part in data[:3]]) for name in ("x", "y"))
    loudest = x.mean(axis=1).argmax(axis=1)  # of the bands
    assert loudest[y == 0].min() > loudest[y == 1].max()
    ends = [int(np.flatnonzero(one.any(axis=1))[-1]) + 1 for one in x]
    assert min(ends) < 40 and max(ends) <= 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "cats é" / "1 photo.png").write_text("no picture"), "1 photo.png is not a PNG or JPEG picture"),
        (lambda f: (f / "birds").mkdir(), "birds has 0 photos or recordings, expected at least 3"),
        (lambda f: ((f / "birds").mkdir(), photo(f / "birds" / "a.png", 1)), "birds has 1 photo or recordings"),
        (lambda f: [tone(f / "cats é" / f"{i}.wav", 200) for i in range(3)], "got both: .*JPG and .*wav"),
        (lambda f: [path.rename(f / path.name) for path in f.glob("cats é/*")], "cats é has 0 photos"),
    ],
)
def test_folders_that_cannot_be_read(pets, change, message):
    change(pets)
    with pytest.raises(InvalidFileError, match=message) as refused:
        read(pets, size=8)
    assert "\n" not in str(refused.value)


def test_folders_without_classes_and_silence(tones, tmp_path):
    with pytest.raises(InvalidFileError, match="has 0 folders, expected one for each of 2 to 100 classes"):
        read(tones / "low")
    with wave.open(str(tones / "low" / "0.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 16000)
    with pytest.raises(InvalidFileError, match="0.wav must not be silent"):
        read(tones)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "ladder", "--data", "F", "--label", "y"], "--label must be used with a table, got the folder"),
        (["run", "ladder", "--data", "F", "--task", "regression"], "--task regression must be used with a table"),
        (["run", "ladder", "--data", "F", "--size", "4"], "--size must be from 8 to 512 pixels, got 4"),
        (["run", "ladder", "--data", "F", "--seconds", "60"], "--seconds must be from 0.1 to 30, got 60"),
        (["run", "ladder", "--data", "F", "--class-weight", "x=2", "--size", "8"], "--class-weight has no class 'x'"),
        (
            ["run", "ladder", "--data", "a.csv", "--label", "y", "--gray"],
            "--seconds must be used with a folder",
        ),
        (["sweep", "F"], "sweep must be used with a table or an npz file, got the folder"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(pets, argv, message, tmp_path, capsys):
    argv = [str(pets) if word == "F" else word for word in argv]
    assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "runs").exists()


def test_hidden_files_and_folders_are_not_listed(pets):
    expected = sorted(pets.glob("*/*"))
    for hidden in (".thumbnails/0.png", "cats é/._0.png", ".0.png"):
        (pets / hidden).parent.mkdir(exist_ok=True)
        photo(pets / hidden, 0)
    assert listed_files(pets, (".png", ".jpg")) == expected


def test_inputs_are_stored_and_only_those_are_read(tmp_path):
    for inputs in (Photos(8, 3), Recordings(50)):
        (tmp_path / "encoder.json").write_text(json.dumps(as_json(inputs)))
        assert load_inputs(tmp_path) == inputs
    for content in (
        {"kind": "photos", "size": 8, "channels": 2},
        {"kind": "photos", "size": 10**6, "channels": 3},
        {"kind": "photos", "size": True, "channels": 3},
        {"kind": "recordings", "frames": -1},
        {"kind": "recordings", "frames": 5, "more": 1},
        {"kind": []},
    ):
        (tmp_path / "encoder.json").write_text(json.dumps(content))
        with pytest.raises(InvalidFileError, match="expected the inputs of photos or of recordings"):
            load_inputs(tmp_path)


def test_the_digest_of_a_folder_depends_on_the_files_of_its_classes(tones):
    before = digest(tones)
    tone(tones / "low" / "0.wav", 300)
    changed = digest(tones)
    (tones / "low" / "1.wav").rename(tones / "high" / "other.wav")
    assert len({before, changed, digest(tones)}) == 3


@pytest.mark.full
@pytest.mark.parametrize("kind", ["pets", "tones"])
def test_two_commands_from_a_folder_to_the_class_of_each_file(kind, request, tmp_path, capsys):
    folder = request.getfixturevalue(kind)
    options = ["--size", "16"] if kind == "pets" else ["--seconds", "0.5"]
    argv = ["run", "ladder", "--data", str(folder), "--epochs", "12", "--runs-dir", str(tmp_path / "runs"), *options]
    assert main.main(argv) == 0
    out = capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    files = {path.name for path in run.iterdir()}
    name = folder.name.replace(" ", "-")
    assert {f"{name}-classes.png", f"{name}-convolutional.safetensors", "encoder.json"} <= files
    assert (f"{name}-mistakes.png" in files) == (kind == "pets") and "always" in out
    assert main.main(["predict", str(run), str(folder)]) == 0
    printed, notes = capsys.readouterr()
    rows = [*csv.DictReader(io.StringIO(printed))]
    expected = sorted(str(path) for path in folder.glob("*/*"))
    assert [row["file"] for row in rows] == expected
    right = sum(row["class"] == path.split("/")[-2] for row, path in zip(rows, expected, strict=True))
    assert right / len(rows) > 0.9 and f"{right} of {len(rows)} files in folders named as classes" in notes
    classes = [row["class"] for row in rows]
    saved = jaxnn.load(run / f"{notes.split('by ')[1].split(', ')[0]}.safetensors")
    x = np.stack([load_inputs(run).read(folder / path) for path in expected])
    assert list(saved.predict(x)) == classes
    assert main.main(["predict", str(run), *expected[:2], "--out", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith(rows[0]["file"])
    assert main.main(["export", str(run), "--to", "npz", "--out", str(tmp_path / "a.npz")]) == 0
    assert (
        f"encoder.json has the encoding of {'photos' if kind == 'pets' else 'recordings'}: " in capsys.readouterr().out
    )
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for path, message in [("a.txt", "must be a "), ("absent.png", "No such file"), ("empty", "has no ")]:
        assert main.main(["predict", str(run), str(tmp_path / path)]) == 2
        assert message in capsys.readouterr().err
