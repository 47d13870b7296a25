"""speech: features, strings and scores against NumPy loops, and short runs on made recordings."""

import cmath
import json
import math
import os
import shutil
import signal
import wave
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import wavfile

import jaxnn
from experiments.cli.main import main
from experiments.cli.repeat import compare
from experiments.datasets import recording_features as features
from experiments.datasets.recording_features import trimmed
from experiments.networks import storage
from experiments.runs.environment import digest
from experiments.studies.speech import networks, new_recordings, strings, training
from experiments.studies.speech import run as speech
from experiments.studies.speech.augmentation import add_noise, at_speed
from experiments.studies.speech.data import find_recordings, read_recordings, split
from experiments.studies.speech.string_report import edit_distance, score
from jaxnn.nn import Sequences

pytestmark = pytest.mark.usefixtures("quick_compilation")
SPEAKERS = ("ann", "bob")
FSDD = Path(os.environ.get("JAXNN_DATA", "data")) / "fsdd" / "recordings"


def spoken(digit, rng, seconds=0.2):
    """Return a "digit" that can be learned: two tones that follow each other, in noise, as 16-bit samples."""
    t = np.arange(int(8000 * seconds)) / 8000
    low, high = 300 + 300 * (digit % 5), 700 + 500 * (digit // 5)
    tone = np.where(t < seconds / 2, np.sin(2 * np.pi * low * t), np.sin(2 * np.pi * 2 * high * t))
    return (8000 * (tone + 0.03 * rng.normal(size=len(t)))).astype(np.int16)


def write_wav(path, samples, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Twelve recordings of each digit and speaker: 5 for the test, 5 for dev, 2 only for training."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (folder / "fsdd" / "recordings").mkdir(parents=True)
    for speaker in SPEAKERS:
        for digit in range(10):
            for i in range(12):
                samples = spoken(digit, rng, rng.uniform(0.15, 0.25))
                write_wav(folder / "fsdd" / "recordings" / f"{digit}_{speaker}_{i}.wav", samples)
    return folder


@pytest.fixture(scope="module")
def recordings(data_dir):
    return read_recordings(find_recordings(data_dir))


# ------------------------------------------------------------------ features


def log_mel_by_loops(samples):
    """Return the features by the definition of each sum."""
    n_frames = 1 + (len(samples) - 200) // 80
    levels = np.zeros((n_frames, 32))
    top = 2595 * math.log10(1 + 4000 / 700)
    edges = [700 * (10 ** (top * b / 33 / 2595) - 1) for b in range(34)]
    mel = lambda f: 2595 * math.log10(1 + f / 700)  # noqa: E731
    energies = np.zeros_like(levels)
    for i in range(n_frames):
        frame = [samples[80 * i + n] * (0.5 - 0.5 * math.cos(2 * math.pi * n / 199)) for n in range(200)]
        for k in range(129):
            power = abs(sum(a * cmath.exp(-2j * math.pi * k * n / 256) for n, a in enumerate(frame))) ** 2
            f = k * 8000 / 256
            for b in range(32):
                low, center, high = (mel(edges[b + j]) for j in range(3))
                if low <= mel(f) <= center:
                    energies[i, b] += power * (mel(f) - low) / (center - low)
                elif center < mel(f) <= high:
                    energies[i, b] += power * (high - mel(f)) / (high - center)
    floor = energies.max() * 1e-6
    for at in np.ndindex(levels.shape):
        levels[at] = 10 * math.log10(max(energies[at], floor))
    return (levels - levels.mean()) / levels.std()


def test_features_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    t = np.arange(530) / 8000
    samples = np.sin(2 * np.pi * 500 * t) * (t > 0.03) + 0.01 * rng.normal(size=530)
    np.testing.assert_allclose(features.log_mel(samples), log_mel_by_loops(samples), rtol=1e-5, atol=1e-5)


@pytest.mark.full
def test_energies_are_cut_off_60_decibels_below_the_loudest():
    samples = np.concatenate([np.sin(np.arange(2000)), np.zeros(2000)])
    found = features.log_mel(samples)
    assert (found[-10:] == found.min()).all()
    np.testing.assert_allclose(found, log_mel_by_loops(samples), rtol=1e-4, atol=1e-4)


def test_features_do_not_depend_on_loudness_and_short_samples_are_padded():
    samples = np.random.default_rng(1).normal(size=700)
    np.testing.assert_allclose(features.log_mel(1e-3 * samples), features.log_mel(samples), atol=1e-5)
    assert features.log_mel(samples[:50]).shape == (1, 32)
    assert np.isfinite(features.log_mel(np.zeros(900))).all()


def test_padded_features_have_their_lengths():
    x = features.padded([np.ones((3, 2)), np.ones((9, 2))], 5)
    assert x.lengths.tolist() == [3, 5]
    assert x.x[..., 0].tolist() == [[1, 1, 1, 0, 0], [1] * 5]


# ------------------------------------------------------------------ recordings


@pytest.mark.parametrize("below", [".", "fsdd", "fsdd/recordings"])
def test_recordings_are_found(data_dir, below, monkeypatch):
    folder = data_dir / "fsdd" / "recordings"
    assert find_recordings(data_dir / below).samefile(folder)
    monkeypatch.setenv("JAXNN_DATA", str(data_dir / below))
    assert find_recordings(None).samefile(folder)


def test_without_recordings_the_places_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("JAXNN_DATA", raising=False)
    (tmp_path / "notes.wav").touch()
    assert main(["run", "speech", "--data-dir", str(tmp_path), "--runs-dir", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and f"searched {tmp_path}, {tmp_path / 'recordings'}" in error
    assert "github.com/Jakobovski/free-spoken-digit-dataset" in error and not (tmp_path / "runs").exists()


def test_parts_are_by_index(recordings):
    train, dev, test = split(recordings)
    assert sorted({*test.indices}) == [0, 1, 2, 3, 4] and sorted({*dev.indices}) == [5, 6, 7, 8, 9]
    assert sorted({*train.indices}) == [10, 11]
    assert [len(part.samples) for part in (train, dev, test)] == [40, 100, 100]
    for part in (train, dev, test):
        assert np.bincount(part.digits).tolist() == [len(part.samples) // 10] * 10


def test_silence_at_the_ends_is_removed():
    loud = np.concatenate([np.ones(800), 0.001 * np.ones(800), np.ones(400)])
    samples = np.concatenate([0.02 * np.ones(1600), loud, np.zeros(2400)])
    assert len(trimmed(samples)) == 2000 + 4 * 80
    np.testing.assert_array_equal(trimmed(samples), samples[1600 - 160 : 3600 + 160])
    np.testing.assert_array_equal(trimmed(loud), loud)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("3_ann_7.wav", lambda path: path.write_bytes(path.read_bytes()[:99]), "damaged: a chunk must have"),
        ("3_ann_7.wav", lambda path: path.write_bytes(b"ID3 other"), "must be a WAV file, got an MP3 file"),
        ("3_ann_7.wav", lambda path: write_wav(path, np.ones(100)), "must last at least 0.06 s"),
        ("3_ann_7.wav", lambda path: write_wav(path, np.ones(1000)), "must contain speech, got silence"),
        (
            "",
            lambda folder: [path.unlink() for path in folder.glob("4_*_1?.wav")],
            "digits for training, got none of 4",
        ),
    ],
    ids=["cut", "mp3", "short", "silent", "missing"],
)
def test_bad_recordings_are_one_line_and_leave_nothing(data_dir, tmp_path, capsys, name, change, message):
    folder = tmp_path / "recordings"
    shutil.copytree(data_dir / "fsdd" / "recordings", folder)
    change(folder / name)
    assert main(["run", "speech", "--data-dir", str(folder), "--runs-dir", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and str(folder / name) in error and message in error
    assert not (tmp_path / "runs").exists()


def test_digest_of_a_folder_depends_on_names_and_contents(tmp_path):
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(text)
    first = digest(tmp_path)
    assert digest(tmp_path) == first
    (tmp_path / "b").write_text("3")
    second = digest(tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    assert len({first, second, digest(tmp_path)}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--seed", "-1"], "--seed must be from 0"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(data_dir, tmp_path, capsys, options, message):
    runs = tmp_path / "runs"
    assert main(["run", "speech", "--data-dir", str(data_dir), "--runs-dir", str(runs), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1 and not runs.exists()


# ------------------------------------------------------------------ augmentation and strings


def test_speed_changes_length_and_pitch():
    samples = np.sin(2 * np.pi * 400 * np.arange(1600) / 8000)
    faster = at_speed(samples, 1.25)
    assert len(faster) == 1280
    np.testing.assert_allclose(faster, np.sin(2 * np.pi * 500 * np.arange(1280) / 8000), atol=0.02)
    np.testing.assert_array_equal(at_speed(samples, 1.0), samples)


@pytest.mark.parametrize("decibels", [5.0, 20.0])
def test_noise_has_its_level(decibels):
    samples = 3 * np.sin(np.arange(40_000))
    noise = add_noise(np.random.default_rng(0), samples, decibels) - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(noise**2)) == pytest.approx(decibels, abs=0.1)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02


def test_a_string_is_its_recordings_one_after_another(recordings):
    """Without pauses and noise: the same samples, at one level up to 3 dB, of one speaker."""
    rng = np.random.default_rng(3)
    samples, digits = strings.make_string(rng, recordings, strings.Condition(False, None), 5)
    at, speakers = 0, []
    for digit in digits:
        for one, of_digit, speaker in zip(recordings.samples, recordings.digits, recordings.speakers, strict=True):
            piece = samples[at : at + len(one)]
            if of_digit == digit and len(piece) == len(one) and np.corrcoef(piece, one)[0, 1] > 1 - 1e-9:
                assert abs(10 * np.log10(np.mean(piece**2))) <= 3
                speakers.append(speaker)
                at += len(one)
                break
        else:
            pytest.fail("a piece is no recording")
    assert at == len(samples) and len({*speakers}) == 1 and len(digits) == 5


def test_pauses_are_silent_and_noise_is_everywhere(recordings):
    made = [strings.make_string(np.random.default_rng(1), recordings, c, 4)[0] for c in strings.CONDITIONS.values()]
    noisy, clean, _, together, _ = made
    silent = clean == 0
    starts = np.flatnonzero(np.diff(np.r_[0, silent, 0]) == 1)
    ends = np.flatnonzero(np.diff(np.r_[0, silent, 0]) == -1)
    lengths = (ends - starts)[ends - starts > 200] / 8000
    assert len(lengths) == 5 and lengths.min() >= 0.05 and lengths.max() < 0.42
    assert np.count_nonzero(noisy == 0) < 3 and np.count_nonzero(together == 0) < 400
    # In noise the same digits are spoken, and the noise is 10 to 30 dB below their mean energy, 1.
    assert len(noisy) == len(clean)
    assert 9.5 < -10 * np.log10(np.mean((noisy - clean) ** 2)) < 30.5


def test_training_strings_are_new_in_each_epoch_and_the_same_again(recordings):
    candidate = networks.STRINGS._replace(batch_size=4)
    batches = training.string_batches(candidate, recordings, 7)
    first, second, again = (next(batches(epoch)) for epoch in (0, 1, 0))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0].x, second[0].x)
    x, y = first
    assert x.x.shape == (4, strings.MOST_STEPS, 64) and y.x.shape == (4, strings.MOST_DIGITS)
    assert (x.lengths <= strings.MOST_STEPS).all() and (x.x[0, x.lengths[0] :] == 0).all()
    for row, n in zip(y.x, y.lengths, strict=True):
        assert (row[:n] >= 1).all() and (row[:n] <= 10).all() and (row[n:] == 0).all()


def test_batches_of_digits_have_every_recording_once(recordings):
    candidate = networks.CANDIDATES["recurrent"]
    parts = list(training.digit_batches(candidate, recordings, 0)(3))
    assert [len(y) for _, y in parts] == [32] * 7 + [16]
    assert sorted(np.concatenate([y for _, y in parts])) == sorted(recordings.digits)
    other = next(training.digit_batches(candidate, recordings, 0)(4))
    assert not np.array_equal(parts[0][0].x, other[0].x)


def test_test_strings_have_enough_digits_and_are_the_same_again(recordings):
    made = strings.strings_in(recordings, strings.CONDITIONS["clean"], 5, 50)
    assert sum(map(len, made.digits)) >= 50 and {len(one) for one in made.digits} <= {*range(3, 8)}
    again = strings.strings_in(recordings, strings.CONDITIONS["clean"], 5, 50)
    for a, b in zip(made.samples, again.samples, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_are_pairs_of_frames():
    samples = np.random.default_rng(0).normal(size=200 + 6 * 80)
    found, frames = strings.steps_of(samples), features.log_mel(samples)
    assert found.shape == (3, 64) and len(frames) == 7
    np.testing.assert_array_equal(found[1], np.concatenate([frames[2], frames[3]]))
    assert strings.steps_of(samples[:100]).shape == (1, 64)


def test_labels_longer_than_the_recording_are_one_line():
    short = strings.Strings([np.ones(800)], [np.array([1, 1, 2, 2, 2], np.int32)])
    with pytest.raises(ValueError, match="digits 1 1 2 2 2 must have at least 8 steps of 20 ms, got 4") as caught:
        strings.examples(short)
    assert len(str(caught.value).splitlines()) == 1
    strings.check_long_enough(np.array([8]), short.digits)


def distance_by_recursion(a, b):
    if not a or not b:
        return len(a) + len(b)
    changed = distance_by_recursion(a[1:], b[1:]) + (a[0] != b[0])
    return min(changed, distance_by_recursion(a[1:], b) + 1, distance_by_recursion(a, b[1:]) + 1)


def test_edit_distance_is_the_least_number_of_changes():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = (rng.integers(0, 3, rng.integers(0, 6)).tolist() for _ in range(2))
        assert edit_distance(a, b) == distance_by_recursion(a, b)
    assert score([np.array([1, 2]), np.array([], int)], [np.array([1, 2]), np.array([3, 4])]) == (4, 2, 2, 1)


# ------------------------------------------------------------------ runs


def start(data_dir, runs, *options):
    return main(["run", "speech", "--data-dir", str(data_dir), "--runs-dir", str(runs), "--seeds", "1", *options])


SMALL = ("--epochs", "3")


@pytest.fixture(scope="module")
def smaller():
    """Patch the networks to be small."""
    nn = jaxnn.nn
    with pytest.MonkeyPatch.context() as patch:
        digit = networks.CANDIDATES["recurrent"]
        recurrent = jaxnn.chain(nn.bidirectional(nn.gru_cell(16), "last"), nn.dropout(0.1), nn.dense(10))
        layers = (nn.conv(16, (3,)), nn.batch_norm(), nn.relu(), nn.max_pool((4,)), nn.global_avg_pool(), nn.dense(10))
        candidates = {
            "recurrent": digit._replace(network=recurrent, learning_rate=0.02, batch_size=16),
            "convolutional": networks.CANDIDATES["convolutional"]._replace(
                network=jaxnn.chain(*layers), learning_rate=0.02, batch_size=16
            ),
        }
        of_strings = jaxnn.chain(nn.bidirectional(nn.gru_cell(16)), nn.each_step(nn.dense(11)))
        patch.setattr(speech, "CANDIDATES", candidates)
        patch.setattr(speech, "STRINGS", networks.STRINGS._replace(network=of_strings, learning_rate=0.02))
        patch.setattr(speech, "DIGITS_PER_CONDITION", 40)
        patch.setattr(training, "STRINGS_PER_EPOCH", 256)
        patch.setattr(speech, "STRINGS_PER_EPOCH", 256)
        yield


@pytest.fixture(scope="module")
def done(data_dir, smaller, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert start(data_dir, runs, *SMALL) == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture(scope="module")
def done_strings(data_dir, smaller, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert start(data_dir, runs, "--strings", "--epochs", "12") == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.mark.full
def test_a_short_run(done, recordings):
    results = json.loads((done / "results.json").read_text())
    assert list(results) == ["recurrent", "convolutional"]
    assert {"confusion.png", "features.png", "report.txt", "report.html"} <= {path.name for path in done.iterdir()}
    test = split(recordings)[2]
    for name, result in results.items():
        assert result["test_accuracy"][0] > 60 and set(result["left_out_accuracy"]) == {*SPEAKERS}
        assert 0 <= result["gradient_difference"] < 1e-6
        # The stored network is the one that was measured.
        stored = storage.load(done / f"{name}-0.safetensors")
        infer, right = jax.jit(stored.spec.network.infer), []
        for samples, digit in zip(test.samples, test.digits, strict=True):
            x = np.zeros((1, 80, 32), np.float32)
            found = log_mel_float(samples)
            x[0, : len(found)] = found
            x = x if name == "convolutional" else x[:, : len(found)]
            z = infer(stored.params, stored.stats, x)
            right.append(int(z.argmax()) == digit)
        assert 100 * np.mean(right) == pytest.approx(result["test_accuracy"][0])


def log_mel_float(samples):
    return features.log_mel(samples)[:80]


@pytest.mark.full
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_is_resumed_bit_for_bit(done, data_dir, tmp_path, monkeypatch, capsys):
    @contextmanager
    def interrupting(description, total):
        at = (5, "recurrent-without-ann") if "recurrent" in description else None
        yield lambda n, note: os.kill(os.getpid(), signal.SIGINT) if at and (n, note.split(",")[0]) == at else None

    with monkeypatch.context() as patch:
        patch.setattr(speech, "show_progress", interrupting)
        assert start(data_dir, tmp_path, *SMALL, "--checkpoint-every", "1e-9") == 130
    (run,) = tmp_path.iterdir()
    assert main(["resume", str(run)]) == 0
    assert "recurrent-without-ann: resumed after epoch 2" in capsys.readouterr().err
    assert compare(done, run).different == {}


@pytest.mark.full
def test_dev_measures_dev_alone_and_trains_without_it(data_dir, smaller, tmp_path, monkeypatch):
    seen = []

    def batches(candidate, part, seed):
        seen.append({*part.indices.tolist()})
        return training.digit_batches(candidate, part, seed)

    monkeypatch.setattr(speech, "digit_batches", batches)
    assert start(data_dir, tmp_path, "--epochs", "1", "--dev", "--no-leave-out") == 0
    (folder,) = tmp_path.iterdir()
    result = json.loads((folder / "results.json").read_text())["recurrent"]
    assert "dev_accuracy" in result and "test_accuracy" not in result and result["left_out_accuracy"] == {}
    assert seen == [{10, 11}] * 2


@pytest.mark.full
def test_a_speaker_who_is_left_out_has_no_part_in_training(data_dir, smaller, tmp_path, monkeypatch):
    seen = []

    def batches(candidate, part, seed):
        seen.append(tuple(np.unique(part.speakers)))
        return training.digit_batches(candidate, part, seed)

    monkeypatch.setattr(speech, "digit_batches", batches)
    assert start(data_dir, tmp_path, "--epochs", "1") == 0
    assert seen == [SPEAKERS, ("bob",), ("ann",)] * 2


@pytest.mark.full
def test_a_short_run_of_strings(done_strings):
    results = json.loads((done_strings / "results.json").read_text())
    assert list(results["scores"]) == list(strings.CONDITIONS)
    clean = results["scores"]["clean"][0]
    assert clean["digits"] >= 40 and clean["errors"] < 0.5 * clean["digits"]
    assert (done_strings / "posteriors.png").read_bytes().startswith(b"\x89PNG")
    assert storage.load(done_strings / "strings-0.safetensors").classes == ("blank", *"0123456789")


@pytest.mark.full
def test_an_interrupted_run_of_strings_is_resumed_bit_for_bit(
    done_strings, data_dir, tmp_path, monkeypatch, interruptible
):
    @contextmanager
    def interrupting(description, total):
        yield lambda n, note: os.kill(os.getpid(), signal.SIGINT) if n == 5 else None

    with monkeypatch.context() as patch:
        patch.setattr(speech, "show_progress", interrupting)
        assert start(data_dir, tmp_path, "--strings", "--epochs", "12", "--checkpoint-every", "1e-9") == 130
    (run,) = tmp_path.iterdir()
    assert main(["resume", str(run)]) == 0
    assert compare(done_strings, run).different == {}


@pytest.mark.full
def test_scores_are_those_of_the_stored_network(done_strings, recordings):
    stored = storage.load(done_strings / "strings-0.safetensors")
    made = strings.strings_in(split(recordings)[2], strings.CONDITIONS["clean"], speech.STRINGS_SEED, 40)
    errors = 0
    for samples, digits in zip(made.samples, made.digits, strict=True):
        path = np.asarray(stored.spec.network.infer(stored.params, (), strings.steps_of(samples)[None]))[0].argmax(1)
        found = [c - 1 for t, c in enumerate(path) if c != 0 and (t == 0 or path[t - 1] != c)]
        errors += edit_distance(found, digits)
    assert errors == json.loads((done_strings / "results.json").read_text())["scores"]["clean"][0]["errors"]


def predicted(capsys, *argv):
    capsys.readouterr()
    status = main(["predict", *map(str, argv), "--no-compilation-cache"])
    return status, capsys.readouterr()


@pytest.mark.full
@pytest.mark.parametrize(
    ("rate", "channels", "level"), [(8000, 1, 1.0), (44100, 2, 1.0), (16000, 1, 0.002), (8000, 1, 1e-7)]
)
def test_a_persons_own_recording(done, done_strings, tmp_path, capsys, rate, channels, level):
    """At any rate, in stereo, quiet, with silence around it: the digits are those of the recording."""
    rng = np.random.default_rng(9)
    digits = [7, 2, 2, 5]
    pause = np.zeros(2000)
    one = np.concatenate([pause, spoken(7, rng), np.zeros(9000)])
    many = np.concatenate([pause, *(part for digit in digits for part in (spoken(digit, rng), pause))])
    for name, samples in (("one", one), ("many", many)):
        n = int(len(samples) * rate / 8000)
        at_rate = level * np.interp(np.arange(n) * 8000 / rate, np.arange(len(samples)), samples) / 2**15
        wavfile.write(tmp_path / f"{name}.wav", rate, np.stack([at_rate] * channels, 1).astype(np.float32))
    for network in ("", "recurrent-0", "convolutional-0"):
        status, printed = predicted(capsys, done, tmp_path / "one.wav", "--network", network)
        assert status == 0 and printed.out.startswith("7 with probability "), printed
    status, printed = predicted(capsys, done_strings, tmp_path / "many.wav")
    assert status == 0 and printed.out.startswith("7 2 2 5 with probability "), printed


@pytest.mark.full
@pytest.mark.parametrize("name", ["recurrent", "convolutional"])
def test_predict_is_right_as_often_as_the_run(done, data_dir, name):
    stored, right = storage.load(done / f"{name}-0.safetensors"), []
    for path in sorted((data_dir / "fsdd" / "recordings").glob("*_[0-4].wav")):
        right.append(new_recordings.recognize(path, stored)[0] == path.name[0])
    expected = json.loads((done / "results.json").read_text())[name]["test_accuracy"][0]
    assert len(right) == 100 and 100 * np.mean(right) == pytest.approx(expected, abs=2)


@pytest.mark.full
def test_bad_recordings_of_a_person_are_one_line(done, tmp_path, capsys):
    path = tmp_path / "a.wav"
    for samples, message in (
        (np.zeros(9000), "must contain speech, got silence"),
        (spoken(1, np.random.default_rng(0))[:100], "must last at least 0.06 s"),
        (np.tile(spoken(1, np.random.default_rng(0)), 20), "must contain one digit, got 4.0 s"),
        (np.tile(spoken(1, np.random.default_rng(0)), 1600), "must last at most 300 s, got 320 s"),
    ):
        write_wav(path, samples)
        status, printed = predicted(capsys, done, path)
        assert status == 2 and len(printed.err.splitlines()) == 1 and message in printed.err, printed.err
    status, printed = predicted(capsys, done, path, "--out", tmp_path / "b.csv")
    assert status == 2 and "--out must be used with a file of rows, got a recording" in printed.err


@pytest.mark.full
@pytest.mark.skipif(not FSDD.is_dir(), reason="needs FSDD: put its recordings into ./data/fsdd, or name JAXNN_DATA")
def test_fsdd_has_its_published_parts():
    train, dev, test = split(read_recordings(find_recordings(FSDD)))
    assert (len(train.digits) + len(dev.digits), len(test.digits)) == (2700, 300)
    assert len({*train.speakers}) == 6 and np.bincount(test.digits).tolist() == [30] * 10


@pytest.mark.full
def test_a_batch_of_sequences_is_what_the_networks_take():
    """The recurrent one with lengths, the convolutional one without: NaN beyond a length reaches no output."""
    x = np.random.default_rng(0).normal(size=(2, 80, 32)).astype(np.float32)
    lengths = np.array([80, 30])
    recurrent = networks.CANDIDATES["recurrent"]
    params = jax.jit(lambda key: recurrent.network.init(key, recurrent.in_shape)[0])(jax.random.key(0))
    infer = jax.jit(lambda x: recurrent.network.infer(params, ((),) * 3, x))
    z, alone = infer(Sequences(x, lengths)), infer(x[1:, :30])
    np.testing.assert_allclose(z[1:], alone, rtol=1e-4, atol=1e-5)
    assert networks.CANDIDATES["convolutional"].inputs(Sequences(x, lengths)) is x
