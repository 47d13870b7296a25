"""translation: its data, its subwords and measures against plain Python, a short run, and sentences of one's own."""

import gzip
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import main
from experiments.readers.errors import InvalidFileError
from experiments.runs.folder import RunFolder
from experiments.studies.translation import data, networks, report, saved, subwords
from experiments.studies.translation.alignments import alignment
from experiments.studies.translation.run import examples_of
from jaxnn import nn
from tests.helpers.short_runs import run

pytestmark = pytest.mark.usefixtures("quick_compilation")

WHO = (("A man", "Ein Mann"), ("A dog", "Ein Hund"), ("A girl", "Ein Mädchen"), ("The boy", "Der Junge"))
DOES = (("runs", "rennt"), ("sleeps", "schläft"), ("sits", "sitzt"), ("jumps", "springt"))
PLACE = (("at home", "zu Hause"), ("outside", "draußen"), ("in the snow", "im Schnee"))
PAIRS = [
    tuple(f"{' '.join(words)}." for words in zip(*parts, strict=True)) for parts in itertools.product(WHO, DOES, PLACE)
]
OPTIONS = ["--vocabulary", "90", "--units", "8", "--epochs", "2", "--batch-size", "16", "--buckets", "2"]


def write_sentences(folder, **lines):
    """Write the files of the three parts, one of them as gzip; `lines` replaces what a file has, by its name."""
    folder.mkdir()
    for part, pairs in (("train", PAIRS), ("val", PAIRS[::5]), ("test_2016_flickr", PAIRS[::7])):
        for language, sentences in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
            text = "".join(f"{one}\n" for one in lines.get(f"{part}_{language}", sentences)).encode()
            name = f"{part}.{language}"
            if name == "train.de":
                (folder / f"{name}.gz").write_bytes(gzip.compress(text))
            else:
                (folder / name).write_bytes(text)
    return folder


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return write_sentences(tmp_path_factory.mktemp("data") / "sätze")


NETWORKS = ["recurrent", pytest.param("transformer", marks=pytest.mark.full)]


@pytest.fixture(scope="module", autouse=True)
def two_blocks():
    """One block after another, in fewer seconds of compilation than three."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "BLOCKS", 2)
        yield


# Enough to learn 48 sentences of a grammar.
LEARNING = ["--units", "32", "--epochs", "60", "--dropout", "0.02", "--smoothing", "0.02", "--learning-rate", "0.01"]


@pytest.fixture(scope="module")
def learned(sentences, tmp_path_factory):
    """A whole run of the recurrent network."""
    argv = ["translation", "--data-dir", str(sentences), *OPTIONS, *LEARNING]
    return *run(tmp_path_factory.mktemp("runs"), *argv), ("recurrent", 32, 0.02)


@pytest.fixture(scope="module")
def short(sentences, tmp_path_factory):
    """Two epochs of the other network, with its own rates."""
    argv = ["translation", "--data-dir", str(sentences), "--network", "transformer", *OPTIONS]
    return *run(tmp_path_factory.mktemp("runs"), *argv), ("transformer", 8, 0.2)


@pytest.fixture(scope="module", params=["learned", "short"])
def finished(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def model():
    return subwords.fit_subwords([one for pair in PAIRS for one in pair], 90)


@pytest.fixture(scope="module")
def fitted(model):
    return subwords.read_subwords(model)


@pytest.fixture(scope="module", params=NETWORKS)
def translator(request, fitted):
    """An untrained translator whose params are far from their beginning."""
    network = networks.NETWORKS[request.param](fitted.get_piece_size(), 8, 0.2)
    x, _ = examples_of(fitted, data.Pairs(*zip(*PAIRS, strict=True)))
    params = jax.jit(lambda key: network.init(key, nn.shapes_of(x))[0])(jax.random.key(3))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda a: a + random.normal(0, 0.3, a.shape).astype("float32"), params)
    return networks.Translator(network, params, fitted, 12)


@pytest.fixture(scope="module")
def made(translator, model, tmp_path_factory):
    """A run folder with the untrained translator, for what needs no training."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "config.json").write_text('{"format_version": 1, "experiment": "translation"}')
    saved.save_translator(translator, model, 2, 0.6, RunFolder(folder))
    return folder


def test_the_parts_are_read_as_they_are(sentences):
    files = data.find_files(sentences)
    assert [*files] == ["train", "val", "test_2016_flickr"]
    assert [*zip(*data.read_pairs(*files["train"]), strict=True)] == PAIRS
    assert [*zip(*data.read_pairs(*files["val"]), strict=True)] == PAIRS[::5]


def test_subwords_give_back_each_sentence(fitted):
    """Also those with characters, spaces and cases that training has in another order."""
    for sentence in (*(one for pair in PAIRS for one in pair), "ein Mann  draußen.", "sleeps Der.A dog"):
        rows = subwords.padded(subwords.encoded(fitted, [sentence]))
        again = subwords.decoded(fitted, rows.x, rows.lengths)
        assert again == [" ".join(sentence.split())]
    assert subwords.fit_subwords(["ab ba"] * 9, 40) == subwords.fit_subwords(["ab ba"] * 9, 40)


def test_examples_are_shifted_by_one(fitted):
    (words, source), y = examples_of(fitted, data.Pairs(*zip(*PAIRS, strict=True)))
    for i, (english, german) in enumerate(PAIRS):
        numbers = fitted.encode(german)
        assert words.x[i, : words.lengths[i]].tolist() == [subwords.START, *numbers]
        assert y.x[i, : y.lengths[i]].tolist() == [*numbers, subwords.END]
        assert source.x[i, : source.lengths[i]].tolist() == [*fitted.encode(english), subwords.END]
        assert words.lengths[i] == y.lengths[i]


@pytest.mark.full
def test_the_greedy_translation_is_that_of_the_network_of_training(translator):
    """A loop in Python over whole prefixes, of which the network that was trained gives each next subword."""
    network, params, fitted, longest = translator
    network_of = jax.jit(lambda words, source: network.infer(params, (), (words, source)))
    for english, _ in PAIRS[:48:12]:
        source = networks.inputs_of([fitted.encode(english)])
        words = [subwords.START]
        while len(words) <= longest and (len(words) == 1 or words[-1] != subwords.END):
            padded = nn.Sequences(jnp.array([words + [0] * (longest + 1 - len(words))]), jnp.array([len(words)]))
            words.append(int(network_of(padded, source).x[0, len(words) - 1].argmax()))
        expected = fitted.decode([i for i in words if i > subwords.END])
        assert networks.translate(translator, [english], 1, 0.0) == [expected]


@pytest.mark.full
def test_a_sentence_is_translated_alone_as_among_others(translator):
    """Sorted by length, in groups, padded: none of it matters."""
    english = [pair[0] for pair in PAIRS] * 3
    together = networks.translate(translator, english, 2, 0.6)
    assert len(together) == len(english)
    assert together[:48] == together[48:96] == together[96:]
    for i in (0, 17, 47):
        assert networks.translate(translator, english[i : i + 1], 2, 0.6) == together[i : i + 1]


@pytest.mark.full
def test_the_alignment_is_what_the_output_depends_on(translator):
    """Rows add up to 1; a source whose last place the decoder does not see at all is the same without it."""
    network, params, fitted, _ = translator
    read, written = fitted.encode(PAIRS[0][0]), fitted.encode(PAIRS[0][1])
    P = alignment(network, params, networks.inputs_of([read]).x, jnp.array([[subwords.START, *written]]))
    assert P.shape == (len(written) + 1, len(read) + 1)
    np.testing.assert_allclose(P.sum(1), 1, rtol=1e-5)
    assert np.ptp(P) > 0.01


@pytest.mark.full
def test_the_alignment_is_that_of_the_caches(translator):
    """The probabilities that the forward of training keeps for its backward are the same, without dropout."""
    network, params, fitted, _ = translator
    names = {"recurrent": networks.recurrent_translator, "transformer": networks.transformer}
    (name,) = [name for name, make in names.items() if make(fitted.get_piece_size(), 8, 0.2) == network]
    without_dropout = names[name](fitted.get_piece_size(), 8, 1e-12)  # the same params, and nothing is dropped
    source = jnp.asarray(networks.inputs_of([fitted.encode(PAIRS[5][0])]).x)
    words = jnp.array([[subwords.START, *fitted.encode(PAIRS[5][1])]])
    _, cache = without_dropout.forward(params, (words, source), jax.random.key(0))
    P = alignment(network, params, source, words)
    shapes = (P.shape, (networks.HEADS, *P.shape))
    kept = [np.asarray(a).reshape(-1, *P.shape) for a in jax.tree.leaves(cache) if a.size in map(np.prod, shapes)]
    assert any(np.allclose(one.mean(0), P, atol=1e-6) for one in kept)


def test_loops_are_found():
    for sentence, expected in (
        ("Ein Mann sitzt.", False),
        ("Ein Mann Mann sitzt.", True),
        ("auf einem auf einem Stuhl", True),
        ("a b c d a b c d", True),
        ("a b c d e a b c d e", False),
        ("der Mann und der Mann", False),
        ("", False),
    ):
        assert report.repeats(sentence) == expected


def test_bleu_is_that_of_the_definition():
    """Of one pair without smoothing: the geometric mean of the precisions of one to four words, by brevity."""
    score = report.bleu_of(["the cat sat on the mat now"], ["the cat sat on a mat now ."])
    precisions = [6 / 7, 4 / 6, 2 / 5, 1 / 4]
    expected = 100 * np.exp(1 - 8 / 7) * np.prod(precisions) ** 0.25
    assert score.score == pytest.approx(expected)
    assert "case:mixed" in report.signature()
    assert "tok:13a" in report.signature()


def test_the_length_penalty_is_chosen_by_bleu():
    reference = ["ein Mann sitzt auf der Bank", "ein Hund rennt"]
    assert report.best_penalty({0.0: ["ein Mann", "ein"], 0.6: reference, 1.2: reference}, reference) == 0.6


@pytest.mark.full
def test_a_run_reports_the_translations(finished, sentences):
    folder, out, (name, units, dropout) = finished
    results = json.loads((folder / "results.json").read_text())
    lines = (folder / "translations.txt").read_text().splitlines()
    assert len(lines) == len(PAIRS[::7])
    assert results["test_bleu"] == pytest.approx(report.bleu_of(lines, [german for _, german in PAIRS[::7]]).score)
    assert results["gradient_difference"] < 1e-9
    assert 0 <= results["padding"] < 1
    translator, beams, penalty = saved.load_translator(folder)
    assert (beams, translator.network) == (
        5,
        networks.NETWORKS[name](translator.subwords.get_piece_size(), units, dropout),
    )
    again = networks.translate(translator, [english for english, _ in PAIRS[::7]], beams, penalty)
    assert again == lines
    text = (folder / "report.txt").read_text()
    assert results["signature"] in text
    assert "Calixto" in text
    assert {path.name for path in folder.glob("*.png")} == {"learning-curves.png", "attention.png"}
    assert f'to translate a sentence: python -m experiments predict {folder} "A man in a red shirt."' in out


@pytest.mark.full
def test_predict_translates_a_sentence(finished, capsys):
    folder, *_ = finished
    assert main.main(["predict", str(folder), "  A dog \t jumps outside. "]) == 0
    translator, beams, penalty = saved.load_translator(folder)
    expected = networks.translate(translator, ["A dog jumps outside."], beams, penalty)[0]
    assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.full
def test_it_learns_to_translate(learned):
    """After 60 epochs the sentences of the test set, which are among those of training, are right."""
    folder, *_ = learned
    assert (folder / "translations.txt").read_text().splitlines() == [german for _, german in PAIRS[::7]]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["x", "--out", "y.csv"], "--out must be omitted with a run of translation, got y.csv"),
        (["x", "--network", "y"], "--network must be omitted with a run of translation, got y"),
        ([" "], "the sentence must have at least one word, got an empty one"),
        (["Ω and 猫"], "got 'Ω', '猫'"),
        (["a" * 1001], "at most 1000 characters, got 1001"),
    ],
)
def test_a_sentence_must_be_one(made, argv, message, capsys):
    assert main.main(["predict", str(made), *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [["export", "--to", "npz"], ["import", "x.npz", "--from", "npz", "--like"], ["sample", "--length", "3"]]
)
def test_commands_for_models_do_not_take_a_network_of_translation(made, argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", W_1=np.ones((1, 1)))
    assert main.main([argv[0], str(made), *argv[1:]] if argv[0] != "import" else [*argv, str(made)]) == 2
    error = capsys.readouterr().err
    assert "network.safetensors must be a model, got a network alone, as of a run of translation: use predict" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["network.safetensors", "subwords.model", "decoding.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, None])
def test_a_damaged_run_is_one_line(made, name, content, tmp_path, capsys):
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main.main(["predict", str(tmp_path), "A dog."]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"train_en": ["A man."] * 47}, "must have a translation for each sentence, got 47 and 48 lines"),
        ({"val_de": ["Ein Hund.", "", *["x"] * 8]}, "must have a sentence on each line, got an empty line 2"),
        ({"train_en": ["a"] * 9, "train_de": ["b"] * 9}, "train must have at least 20 sentences"),
    ],
)
def test_sentences_must_be_pairs(lines, message, tmp_path, capsys):
    folder = write_sentences(tmp_path / "data", **lines)
    argv = ["run", "translation", "--data-dir", str(folder), *OPTIONS, "--runs-dir", str(tmp_path / "runs")]
    assert main.main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"a\n" * 48)[:-9], "must be a whole file of gzip"),
        (b"no gzip", "must be a file of gzip"),
        (gzip.compress(b"\xff\xfe" * 4), "must be a text in UTF-8, got the byte 0xff at 0"),
    ],
    ids=["cut off", "another format", "another encoding"],  # gzip writes the time, which differs between processes
)
def test_a_damaged_file_is_one_line(content, message, tmp_path):
    folder = write_sentences(tmp_path / "data")
    (folder / "train.de.gz").write_bytes(content)
    with pytest.raises(InvalidFileError, match=message):
        data.read_pairs(folder / "train.en", folder / "train.de.gz")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--units", "10"], "--units must be a multiple of 4, got 10"),
        (["--units", "0"], "--units must be at least 1, got 0"),
        (["--dropout", "1"], "--dropout must be from 0 to below 1, got 1.0"),
        (["--smoothing", "-0.1"], "--smoothing must be from 0 to below 1"),
        (["--vocabulary", "20"], "--vocabulary must be at least"),
        (["--buckets", "0"], "--buckets must be at least 1"),
        (["--beams", "0"], "--beams must be at least 1"),
        (["--batch-size", "49"], "train must have at least 49 sentences"),
        (["--learning-rate", "0"], "learning_rate must be"),
    ],
)
def test_options_must_be_valid(argv, message, sentences, tmp_path, capsys):
    runs = ["--data-dir", str(sentences), "--runs-dir", str(tmp_path / "runs")]
    assert main.main(["run", "translation", *runs, *OPTIONS, *argv]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
