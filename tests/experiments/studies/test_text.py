"""text: its data and measures against plain Python, a short run, and what its network writes."""

import json
import re
from collections import Counter

import jax
import numpy as np
import pytest

import jaxnn
from experiments.cli import main
from experiments.networks import storage
from experiments.studies.text import data, networks
from tests.helpers.short_runs import run

LINES = "".join(f"{a}{b}{a}, said the {c}.\n" for a in "aeiou" for b in "klm" for c in ("cat", "dog", "hen", "ox"))
OPTIONS = ["--units", "8", "--n-steps", "10", "--epochs", "2", "--batch-size", "4"]


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "lines é.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(text_file, tmp_path_factory):
    folder, out = run(tmp_path_factory.mktemp("runs"), "text", "--data", str(text_file), *OPTIONS)
    assert f"to write more: python -m experiments sample {folder} --prompt" in out
    return folder


@pytest.fixture(scope="module")
def made(text_file, tmp_path_factory):
    """A run folder with an untrained network, for what needs no training."""
    folder, characters = tmp_path_factory.mktemp("made"), data.read_text(text_file, dev=False).characters
    spec = networks.recurrent_network(len(characters), 8, 0.0, 10)
    params = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(jax.random.key(0))
    stored = storage.StoredNetwork(spec, params, data.names_of(characters))
    (folder / "config.json").write_text('{"format_version": 1, "experiment": "text"}')
    (folder / "recurrent.safetensors").write_bytes(storage.encode(stored))
    return folder


def test_the_parts_of_a_text(text_file):
    text = data.read_text(text_file, dev=False)
    written = "".join(text.characters[i] for i in [*text.train, *text.held_out])
    assert written == LINES
    assert len(text.held_out) == len(LINES) // 10
    assert list(text.characters) == sorted(set(LINES))
    dev = data.read_text(text_file, dev=True)
    assert "".join(dev.characters[i] for i in [*dev.train, *dev.held_out]) == LINES[: len(LINES) * 9 // 10]
    assert abs(len(dev.held_out) - len(text.held_out)) <= 1


def test_a_byte_order_mark_and_windows_lines_are_no_characters(tmp_path):
    path = tmp_path / "windows.txt"
    path.write_bytes(b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode())
    text = data.read_text(path, dev=False)
    assert "".join(text.characters[i] for i in [*text.train, *text.held_out]) == LINES


def test_names_of_characters_can_be_printed_and_read_back():
    characters = ("\n", "\t", '"', "\\", " ", "a", "é", "\u200b", "\U0001f600")
    names = data.names_of(characters)
    assert all(name.isprintable() for name in names)
    assert data.characters_of(names) == characters


@pytest.mark.full
def test_nats_are_those_of_each_prefix():
    spec = networks.recurrent_network(5, 4, 0.3, 10)
    params = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(jax.random.key(0))
    text = np.array([0, 3, 1, 1, 4, 2], np.int32)
    nats = networks.nats_of_each(spec, params, text)
    infer = jax.jit(lambda seen: spec.network.infer(params, (), seen)[0, -1])
    for i in range(1, 6):
        z = np.asarray(infer(text[None, :i]), np.float64)
        assert nats[i - 1] == pytest.approx(np.log(np.exp(z).sum()) - z[text[i]], rel=1e-5)


@pytest.mark.full
def test_nats_in_windows_are_those_of_the_last_characters_before():
    spec = networks.transformer(5, 8, 0.3, 6)
    params = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(jax.random.key(0))
    text = np.random.default_rng(0).integers(0, 5, 300).astype(np.int32)
    run = jax.jit(lambda seen: spec.network.infer(params, (), seen[None])[0])
    nats = networks.nats_of_each(spec, params, text)
    for i in [*range(1, 12), 150, 297, 298, 299]:
        # A window begins at each multiple of 3, and at the end; of those with place i, the first one is used.
        start = min(at for at in (*range(0, 294, 3), 293) if at + 6 >= i and at < i)
        seen = text[start:i]
        z = np.asarray(run(np.pad(seen, (0, 6 - len(seen))))[len(seen) - 1], np.float64)
        assert nats[i - 1] == pytest.approx(np.log(np.exp(z).sum()) - z[text[i]], rel=1e-4)


@pytest.mark.full
def test_a_transformer_writes_beyond_its_window(text_file, tmp_path, capsys):
    folder, _ = run(tmp_path, "text", "--network", "transformer", "--data", str(text_file), *OPTIONS)
    assert main.main(["sample", str(folder), "--prompt", "aka, said the cat", "--length", "45"]) == 0
    written = capsys.readouterr().out.removesuffix("\n")
    assert written.startswith("aka, said the cat") and len(written) == 17 + 45


@pytest.mark.full
def test_what_is_written_has_the_probabilities_of_the_network():
    """One character after a prompt, drawn many times."""
    spec = networks.recurrent_network(3, 4, 0.0, 10)
    drawn = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(jax.random.key(1))
    params = jax.tree.map(lambda a: 3 * np.asarray(a), drawn)
    prompt = np.tile(np.array([[0, 2, 1]], np.int32), (20_000, 1))
    drawn = networks.continuation(spec, params, prompt, 1, jax.random.key(2), 0.5)[:, 0]
    z = np.asarray(jax.jit(spec.network.infer)(params, (), prompt[:1])[0, -1], np.float64) / 0.5
    expected = np.exp(z) / np.exp(z).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / len(drawn), expected, atol=0.012)


@pytest.mark.full
def test_a_run_reports_the_held_out_text(finished, text_file):
    results = json.loads((finished / "results.json").read_text())
    _, network = storage.load_from_run(finished)
    text = data.read_text(text_file, dev=False)
    assert data.characters_of(network.classes) == text.characters
    nats = networks.nats_of_each(network.spec, network.params, text.held_out)
    assert results["test_nats"] == pytest.approx(float(nats.mean()), rel=1e-6)
    assert results["gradient_difference"] < 1e-9
    report = (finished / "report.txt").read_text()
    counts = Counter(text.train.tolist())
    p = {i: (counts[i] + 1) / (len(text.train) + len(text.characters)) for i in range(len(text.characters))}
    entropy = np.mean([-np.log(p[i]) for i in text.held_out[1:].tolist()])
    assert re.search(rf"frequencies of characters +{entropy:.3f}", report)
    assert "\n\nsample, at temperature 0.8:\n" + (finished / "sample.txt").read_text() in report
    assert {path.name for path in finished.glob("*.png")} == {"learning-curves.png", "characters.png"}


@pytest.mark.full
def test_more_epochs_learn_the_text(text_file, tmp_path):
    """The lines are made by a rule, and half of their characters follow from those before."""
    options = ["--units", "32", "--n-steps", "20", "--epochs", "60", "--batch-size", "4", "--learning-rate", "0.02"]
    learned, _ = run(tmp_path, "text", "--data", str(text_file), *options)
    assert json.loads((learned / "results.json").read_text())["test_nats"] < 0.6


def test_sample_continues_a_prompt(made, capsys):
    def sample(*options):
        status = main.main(["sample", str(made), *options])
        out, err = capsys.readouterr()
        return status, out.removesuffix("\n"), err

    status, written, _ = sample("--prompt", "aka", "--length", "40")
    assert status == 0
    assert written.startswith("aka") and len(written) == 43
    assert sample("--prompt", "aka", "--length", "40")[1] == written
    assert sample("--prompt", "aka", "--length", "40", "--seed", "1")[1] != written
    assert len(sample("--length", "7")[1]) == 7  # the end of the line before it is not written
    for options, message in (
        (("--prompt", "aZkQ"), "error: the prompt must consist of the 20 characters .*, got 'Q', 'Z'"),
        (("--prompt", ""), "error: --prompt must have at least one character"),
        (("--length", "0"), "error: --length must be at least 1, got 0"),
        (("--temperature", "0"), "error: --temperature must be above 0 and finite, got 0.0"),
        (("--temperature", "inf"), "error: --temperature must be above 0 and finite, got inf"),
        (("--seed", "-1"), "error: --seed must be from 0 to"),
    ):
        status, _, err = sample(*options)
        assert status == 2
        assert re.match(message, err) and err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have at least 1000 characters to learn from, got 0"),
        (b"a\n" * 400, "must have at least 1000 characters to learn from, got 800"),
        (b"a" * 1000, "must have at least 2 different characters, got 'a' alone"),
        (b"abc\n" * 400 + b"\xff", "must be a text in UTF-8, got the byte 0xff at 1600: save it as UTF-8"),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 6000))).encode(), "at most 5000 different characters, got 6000"),
    ],
)
def test_a_file_of_something_else_is_one_line(content, message, tmp_path, capsys):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    assert main.main(["run", "text", "--data", str(path), "--runs-dir", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--n-steps", "1000"), "--n-steps must be at most 101"),
        (("--dropout", "1"), "--dropout must be from 0 to below 1, got 1.0"),
        (("--units", "0"), "--units must be at least 1, got 0"),
        (("--network", "transformer", "--units", "10"), "--units must be a multiple of 4 with --network transformer"),
        (("--learning-rate", "-1"), "learning_rate must be"),
        (("--data-dir", "."), "--data-dir is for tinyshakespeare.txt, got --data too"),
    ],
)
def test_options_outside_their_range_are_one_line(options, message, text_file, capsys):
    assert main.main(["run", "text", "--data", str(text_file), *options]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_without_the_text_all_places_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXNN_DATA", raising=False)
    assert main.main(["run", "text"]) == 2
    assert "searched data/tinyshakespeare.txt, data/text/tinyshakespeare.txt; put input.txt" in capsys.readouterr().err


def test_the_carry_is_trained():
    """The state at the end of a piece is where the next one begins: see `objective(carry=True)`."""
    spec = networks.recurrent_network(4, 3, 0.0, 5)
    objective = jaxnn.objective(spec.network, jaxnn.losses.each_step_loss(jaxnn.softmax_cross_entropy()), carry=True)
    params = jax.jit(lambda key: spec.network.init(key, spec.example)[0])(jax.random.key(0))
    batch = jaxnn.Batch(np.zeros((2, 5), np.int32), np.zeros((2, 5), np.int32))
    assert [a.shape for a in jax.tree.leaves(objective.start(params, batch))] == [(2, 3), (2, 3)]
