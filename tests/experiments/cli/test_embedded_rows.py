"""Runs on a file with a column of many words: its encoding, predictions in NumPy, resume, repeat, and export."""

import csv
import io
import json
import os
import signal
from collections import Counter

import numpy as np
import pytest
from safetensors.numpy import load

import jaxnn
from experiments.cli import main
from experiments.cli.repeat import compare
from experiments.datasets import encoder
from experiments.datasets.columns import Category, Embedded, Number
from experiments.datasets.new_rows import read_rows
from experiments.datasets.own_data import read_own_data
from experiments.interchange.formats import FORMATS
from experiments.networks.storage import encode
from experiments.networks.storage import load as load_network
from experiments.networks.tables import embedding_width
from experiments.readers.errors import InvalidFileError
from experiments.runs.config import read_config
from experiments.runs.folder import RunFolder
from experiments.studies.registry import find

pytestmark = pytest.mark.usefixtures("quick_compilation")

M = 600
LADDER = ["--epochs", "3", "--learning-rate", "0.01", "--no-time-steps"]


def rows_of_sites(m=M, sites=70):
    """Return rows of site, height, color, y; sites follow a steep law, so that some are in one row or none."""
    random = np.random.default_rng(0)
    site = random.choice(sites, m, p=1 / np.arange(1, sites + 1) ** 1.3 / sum(1 / np.arange(1, sites + 1) ** 1.3))
    height, color = random.normal(170, 10, m).round(1), random.choice(["red", "green"], m)
    y = np.where(random.uniform(size=m) < 1 / (1 + np.exp((site % 5) - 2)), "yes", "no")
    return [[f"site {a}", b, c, d] for a, b, c, d in zip(site, height, color, y, strict=True)]


HEADER = ["site", "height", "color", "y"]


def write(path, rows, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "sites.csv", rows_of_sites())


def read(path, **options):
    return read_own_data(path, "y", "", (0.7, 0.15, 0.15), 0, **options)


def columns_of(data):
    return encoder._encoder(json.loads(json.dumps(data.encoder))).columns


@pytest.fixture(scope="module")
def ladder_run(table, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    argv = ["run", "ladder", "--data", str(table), "--label", "y", *LADDER, "--runs-dir", str(runs)]
    assert main.main(argv) == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.fixture(scope="module")
def swept_run(table, tmp_path_factory):
    """A run with one network, "best"."""
    runs = tmp_path_factory.mktemp("runs")
    argv = ["sweep", str(table), "--label", "y", "--epochs", "2", "--width", "3", "--depth", "1", "--seed", "0"]
    assert main.main([*argv, "--learning-rate", "0.02", "--runs-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    return folder


@pytest.mark.full
def test_predictions_of_a_sweep_are_those_of_numpy(swept_run, tmp_path, capsys):
    rows = [*rows_of_sites()[:50], *NEW]
    capsys.readouterr()
    got, err = predictions(capsys, swept_run, write(tmp_path / "new.csv", rows))
    np.testing.assert_allclose(np.array(got)[:, 1], by_hand(swept_run, "best", rows), rtol=2e-5, atol=1e-6)
    assert "not among the levels of training, first" in err
    assert "site: 1 missing, taken as site 0" in err


def test_levels_are_the_words_of_two_training_rows_and_rows_are_their_numbers(table):
    data, rows = read(table), rows_of_sites()
    site, *others = columns_of(data)
    assert isinstance(site, Embedded) and [type(column) for column in others] == [Number, Category]
    y = np.array([data.classes.index(row[3]) for row in rows])
    parts = jaxnn.split(np.arange(M), y, (0.7, 0.15, 0.15), seed=0, stratify=True)
    words = Counter(rows[i][0] for i in parts[0].x)
    assert list(site.levels) == sorted(word for word, n in words.items() if n >= 2)
    assert min(words.values()) == 1 and len({row[0] for row in rows}) > len(words)  # some are rare, and some are new
    assert site.most_frequent == max(words, key=words.get) == "site 0"
    number = {word: i for i, word in enumerate(site.levels, start=1)}
    assert data.embedded == (1 + len(number),) and data.numbers == 3
    for part, where in zip((data.train, data.dev, data.test), parts, strict=True):
        numbers, sites = part.x
        assert (numbers.dtype, sites.dtype, sites.shape) == (np.float32, np.int32, part.y.shape)
        assert sites.tolist() == [number.get(rows[i][0], 0) for i in where.x]
        heights = numbers[:, 0] * data.standardizer.std[0] + data.standardizer.mean[0]
        np.testing.assert_allclose(heights, [rows[i][1] for i in where.x], rtol=1e-5)
    rare = len({row[0] for row in rows}) - len(number)
    assert any(f"{rare} words of fewer than 2 training rows share one vector" in note for note in data.notes)


@pytest.mark.parametrize(
    ("words", "rows", "kind"),
    [(50, 600, Category), (51, 600, Embedded), (51, 102, Embedded), (51, 101, Category), (100, 150, Category)],
)
def test_kind_depends_on_words_and_rows(words, rows, kind, tmp_path):
    path = write(tmp_path / "a.csv", [[f"w{i % words}", i % 3, "c", i % 7 % 2] for i in range(rows)])
    assert isinstance(columns_of(read(path))[0], kind)


def test_many_words_of_few_rows_are_rejected(tmp_path):
    path = write(tmp_path / "a.csv", [[f"w{i % 101}", 1, "c", i % 2] for i in range(201)])
    with pytest.raises(InvalidFileError, match="101 different words, expected numbers or at most 100 words, or 2 rows"):
        read(path)


def predictions(capsys, *argv):
    assert main.main(["predict", *map(str, argv)]) == 0
    out, err = capsys.readouterr()
    return [list(map(float, row[2:])) for row in list(csv.reader(io.StringIO(out)))[1:]], err


def by_hand(run, name, rows):
    """Return P(yes) of a network with ReLUs: arrays from its file, words from encoder.json, in float64."""
    tensors = {key: value.astype(np.float64) for key, value in load((run / f"{name}.safetensors").read_bytes()).items()}
    site, height, color = json.loads((run / "encoder.json").read_text())["columns"]
    assert site["kind"] == "embedded" and height["kind"] == "number" and color["levels"] == ["green", "red"]
    results = []
    for word, tall, tint, *_ in rows:
        tint = color["most_frequent"] if tint == "?" else tint
        numbers = np.array([float(tall) if tall else height["median"], tint == "green", tint == "red"], np.float64)
        numbers = (numbers - tensors["notes/standardizer/mean"]) / tensors["notes/standardizer/std"]
        word = word or site["most_frequent"]
        index = site["levels"].index(word) + 1 if word in site["levels"] else 0
        a = np.concatenate([numbers, tensors["params/0/1/E"][index]])
        layers = sorted({int(key.split("/")[1]) for key in tensors if key.endswith("/W")})
        for i in layers:
            z = tensors[f"params/{i}/W"] @ a + tensors[f"params/{i}/b"]
            a = np.maximum(z, 0)
        results.append(1 / (1 + np.exp(-z[0])))
    return np.array(results)


NEW = [
    ["site 0", 171.5, "red", "yes"],
    ["never seen", 160.0, "green", "no"],
    ["", "", "red", "no"],
    ["site 3", 180, "?", "no"],
]


@pytest.mark.full
@pytest.mark.parametrize("name", ["logistic", "one-hidden", "four-layers"])
def test_predictions_are_those_of_numpy(ladder_run, name, tmp_path, capsys):
    rows = [*rows_of_sites()[:50], *NEW]
    got, err = predictions(capsys, ladder_run, write(tmp_path / "new.csv", rows), "--network", f"sites-{name}")
    expected = by_hand(ladder_run, f"sites-{name}", rows)
    np.testing.assert_allclose(np.array(got)[:, 1], expected, rtol=2e-5, atol=1e-6)
    assert "not among the levels of training, first" in err
    assert "site: 1 missing, taken as site 0" in err


@pytest.mark.full
def test_new_words_are_all_alike(swept_run, tmp_path, capsys):
    rows = [[word, 170, "red", "yes"] for word in ("never", "seen", "before")]
    got, _ = predictions(capsys, swept_run, write(tmp_path / "new.csv", rows))
    assert got[0] == got[1] == got[2]


def test_columns_in_another_order_are_the_same(swept_run, tmp_path, capsys):
    rows = rows_of_sites()[:20]
    straight = write(tmp_path / "a.csv", rows)
    turned = write(tmp_path / "b.csv", [row[::-1] for row in rows], HEADER[::-1])
    assert predictions(capsys, swept_run, straight)[0] == predictions(capsys, swept_run, turned)[0]


def test_places_of_inputs_are_named_in_their_order(swept_run, table, tmp_path):
    """Numbers and one-hot inputs come first, although the file has the sites first."""
    options = read_config(swept_run, find).options
    place = read_rows(table, swept_run, options).place
    assert [place(i, i) for i in range(4)] == [
        f"column {name!r} in line {line}" for line, name in enumerate(["height", "color", "color", "site"], start=2)
    ]


@pytest.mark.full
def test_sweep_over_widths_stores_a_network_that_predicts(table, tmp_path, capsys):
    argv = ["sweep", str(table), "--label", "y", "--epochs", "3", "--width", "3,6", "--depth", "1", "--seed", "0"]
    assert main.main([*argv, "--learning-rate", "0.02", "--runs-dir", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    rows = rows_of_sites()[:30]
    capsys.readouterr()
    got, _ = predictions(capsys, run, write(tmp_path / "new.csv", rows))
    np.testing.assert_allclose(np.array(got)[:, 1], by_hand(run, "best", rows), rtol=2e-5, atol=1e-6)


@pytest.mark.full
def test_table_without_numbers(tmp_path, capsys):
    rows = [[row[0], row[3]] for row in rows_of_sites()]
    path = write(tmp_path / "a.csv", rows, ["site", "y"])
    data = read(path)
    assert data.numbers == 0 and len(data.embedded) == 1
    argv = ["sweep", str(path), "--label", "y", "--epochs", "2", "--width", "3", "--learning-rate", "0.02"]
    assert main.main([*argv, "--seed", "0", "--runs-dir", str(tmp_path / "runs")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    capsys.readouterr()
    got, _ = predictions(capsys, run, path)
    assert len(got) == M and np.isfinite(got).all()


@pytest.mark.full
def test_resumed_run_ends_the_same(table, ladder_run, tmp_path, monkeypatch, interruptible, capsys):
    log, lines = RunFolder.log, iter(range(1, 1000))

    def stopping(self, **metrics):
        if next(lines) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        log(self, **metrics)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", stopping)
        argv = ["run", "ladder", "--data", str(table), "--label", "y", *LADDER, "--checkpoint-every", "1e-9"]
        assert main.main([*argv, "--runs-dir", str(tmp_path)]) == 130
    (run,) = tmp_path.iterdir()
    assert main.main(["resume", str(run)]) == 0
    assert compare(ladder_run, run).different == {}


@pytest.mark.parametrize("form", FORMATS)
def test_export_is_a_one_line_error(form, swept_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["export", str(swept_run), "--to", form]) == 2
    err = capsys.readouterr().err
    assert "export needs a network that takes one array, got best, which embeds words" in err
    assert err.count("\n") == 1 and not [*tmp_path.iterdir()]


@pytest.mark.full
def test_stored_network_round_trip(ladder_run):
    path = ladder_run / "sites-one-hidden.safetensors"
    network = load_network(path)
    assert encode(network) == path.read_bytes()
    (site, *_) = encoder.load(ladder_run).columns
    width = embedding_width(site.size)
    assert str(network.spec) == f"4-{3 + width}-32-1" and network.spec.width == max(3 + width, 32)
    assert network.spec.n_params == site.size * width + (3 + width + 1) * 32 + 33
