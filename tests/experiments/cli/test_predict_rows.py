"""`predict` on rows: the probabilities of the run, in any form of the rows, and errors with their place."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import jaxnn
from experiments.cli import main
from experiments.datasets import encoder
from experiments.datasets.own_data import read_own_data
from experiments.networks import scores
from experiments.networks.spec import NetworkSpec, class_probabilities
from experiments.networks.storage import encode
from experiments.networks.storage import load as load_network
from experiments.readers.csv_file import read_table
from experiments.readers.errors import InvalidFileError
from experiments.studies.ladder import run as ladder
from experiments.studies.ladder.data import FRACTIONS
from tests.experiments.datasets.test_own_data import passengers, write_csv

pytestmark = pytest.mark.usefixtures("quick_compilation")

SHORT = ["--learning-rate", "0.03", "--seed", "0", "--epochs", "5", "--width", "4"]


def only(folder):
    (run,) = folder.iterdir()
    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The header and rows of a file with words, numbers and holes, and its path."""
    header, rows = passengers()
    return header, rows, write_csv(tmp_path_factory.mktemp("data") / "passengers.csv", header, rows)


@pytest.fixture(scope="module")
def swept(table, tmp_path_factory):
    """The folder of a sweep on it."""
    runs = tmp_path_factory.mktemp("runs")
    argv = ["sweep", str(table[2]), "--label", "survived", "--drop", "name", *SHORT]
    assert main.main([*argv, "--runs-dir", str(runs)]) == 0
    return only(runs)


@pytest.fixture(scope="module")
def ladder_run(table, tmp_path_factory):
    """The folder of a ladder on it, of two small networks."""
    runs = tmp_path_factory.mktemp("runs")
    sizes = {"logistic": (5, 1), "one-hidden": (5, 3, 1)}
    argv = ["run", "ladder", "--data", str(table[2]), "--label", "survived", "--drop", "name,sex", "--epochs", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "baseline_specs", lambda data: {name: NetworkSpec(n) for name, n in sizes.items()})
        assert main.main([*argv, "--no-time-steps", "--runs-dir", str(runs)]) == 0
    return only(runs)


@pytest.fixture(scope="module")
def of_arrays(tmp_path_factory):
    """The folder of a sweep on an npz file of three classes, and the file."""
    folder = tmp_path_factory.mktemp("npz")
    random = np.random.default_rng(1)
    y = np.arange(60) % 3
    np.savez(folder / "a.npz", x=random.normal(size=(60, 2, 2)) + y[:, None, None], kind=np.array(["a,b", "é", "c"])[y])
    argv = ["sweep", str(folder / "a.npz"), "--label", "kind", *SHORT, "--runs-dir", str(folder / "runs")]
    assert main.main(argv) == 0
    return only(folder / "runs"), folder / "a.npz"


@pytest.fixture
def predict(capsys):
    """`predict(run, file, ...)`: the CSV's rows and the lines on stderr."""

    def call(*argv):
        assert main.main(["predict", *map(str, argv)]) == 0
        out, err = capsys.readouterr()
        return list(csv.reader(io.StringIO(out))), err.splitlines()

    return call


@pytest.fixture
def error_of(capsys):
    def call(*argv):
        assert main.main(["predict", *map(str, argv)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1
        return err

    return call


def columns_of(rows):
    header, *rest = rows
    return dict(zip(header, zip(*rest, strict=True), strict=True))


def probabilities(rows, classes):
    found = columns_of(rows)
    return np.array([found[f"P({name})"] for name in classes], np.float32).T


# What the run itself predicted


def test_the_library_predicts_as_the_run_from_the_numbers_in_the_file(of_arrays, predict):
    run, file = of_arrays
    saved, rows = jaxnn.load(run / "best.safetensors"), columns_of(predict(run, file)[0])
    x = np.load(file)["x"].reshape(60, 4)
    assert saved.predict(x).tolist() == list(rows["class"])
    assert set(rows["class"]) == {"a,b", "é", "c"} == set(saved.class_names)
    found = np.array([rows[f"P({name})"] for name in saved.class_names], np.float32).T
    np.testing.assert_allclose(saved.predict_proba(x), found, rtol=1e-5)


@pytest.mark.representatives("npz")
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_test_rows_get_the_probabilities_of_the_run(kind, table, swept, of_arrays, predict, tmp_path):
    """The run's own test accuracy, and the probabilities that its data and its network give."""
    run, file = (swept, table[2]) if kind == "csv" else of_arrays
    label, drop = ("survived", "name") if kind == "csv" else ("kind", "")
    data = read_own_data(file, label, drop, FRACTIONS, 0)
    number = {name: i for i, name in enumerate(data.classes)}
    labels = [row[-1] for row in table[1]] if kind == "csv" else np.load(file)["kind"].tolist()
    y = np.array([number[word] for word in labels])
    test = jaxnn.split(np.arange(len(y)), y, FRACTIONS, seed=0, stratify=True)[2].x  # the rows of the test set
    if kind == "csv":
        new = write_csv(tmp_path / "new.csv", table[0], [table[1][i] for i in test])
    else:
        new = tmp_path / "new.npz"
        np.savez(new, x=np.load(file)["x"][test], kind=np.load(file)["kind"][test])
    predicted, printed = predict(run, new)
    network = load_network(run / "best.safetensors")
    model = network.spec.model()
    expected = class_probabilities(model, network.params, data.test.x)
    np.testing.assert_array_equal(probabilities(predicted, data.classes), expected)
    classes = [data.classes[i] for i in np.asarray(model.predict(network.params, data.test.x))]
    assert list(columns_of(predicted)["class"]) == classes
    right = np.mean([a == b for a, b in zip(classes, (labels[i] for i in test), strict=True)])
    assert f"test accuracy {100 * right:.2f} %" in (run / "report.txt").read_text()
    assert any(line.startswith(f"accuracy {100 * right:.2f} %: ") for line in printed)
    # Among all rows, each gets the same up to rounding.
    every, printed = predict(run, file)
    np.testing.assert_allclose(probabilities(every, data.classes)[test], expected, rtol=1e-5, atol=1e-7)
    assert printed[-1].startswith("note: this is the run's own data file")


def test_many_rows_are_predicted_in_batches(swept, table, predict, monkeypatch):
    whole, _ = predict(swept, table[2])
    monkeypatch.setattr(scores, "NUMBERS_AT_A_TIME", 7 * 50)  # 50 rows, of 120
    parts, _ = predict(swept, table[2])
    assert columns_of(parts)["class"] == columns_of(whole)["class"]
    np.testing.assert_allclose(probabilities(parts, ["no", "yes"]), probabilities(whole, ["no", "yes"]), rtol=1e-5)


# Rows in every form


def test_columns_in_any_order_with_additional_ones_and_without_labels(swept, table, predict, tmp_path):
    header, rows, path = table
    expected, printed = predict(swept, path)
    assert printed[0] == "by best, 7-4-1, the run's best on dev"
    assert "ignored, since training had no such column: name" in printed
    turned = [[*row[4:0:-1], "0"] for row in rows]
    new = write_csv(tmp_path / "new.csv", [*header[4:0:-1], "oth\n\u2028er"], turned, delimiter=";")
    predicted, printed = predict(swept, new)
    assert predicted == expected
    assert "ignored, since training had no such column: oth\\n\\u2028er" in printed
    assert not any("accuracy" in line for line in printed)


def test_missing_and_unseen_words_are_encoded_as_in_training_and_reported(swept, table, predict, tmp_path):
    fitted = {column.name: column for column in encoder.load(swept).columns}
    header = ["sex", "age", "fare", "town"]
    rows = [["female", "NA", "1", "Oslo"], ["", f"{fitted['age'].median!r}", "1", "Bergen"]]
    predicted, printed = predict(swept, write_csv(tmp_path / "a.csv", header, rows))
    assert f"age: 1 missing, taken as the median, {fitted['age'].median:g}" in printed
    assert f"sex: 1 missing, taken as {fitted['sex'].most_frequent}" in printed
    assert "town: 2 not seen in training, first 'Oslo' in line 2, encoded as no level" in printed
    filled = [["female", f"{fitted['age'].median!r}", "1", "x"], [fitted["sex"].most_frequent, *rows[1][1:]]]
    assert predict(swept, write_csv(tmp_path / "b.csv", header, filled))[0] == predicted


def test_labels_that_are_missing_or_new(swept, table, predict, tmp_path):
    header, rows, path = table
    labels = columns_of(predict(swept, path)[0])["class"]
    rows = [[*row[:-1], label] for row, label in zip(rows[:8], labels, strict=False)]
    rows[0][-1], rows[1][-1] = "", "perhaps"
    _, printed = predict(swept, write_csv(tmp_path / "a.csv", header, rows))
    unknown = "1 of a class that training did not have, for example 'perhaps'"
    expected = f"accuracy 85.71 %: 6 of 7 rows that have a label; {unknown}"
    assert expected in printed
    rows = [[*row[:-1], "?"] for row in rows]
    _, printed = predict(swept, write_csv(tmp_path / "b.csv", header, rows))
    assert "no accuracy: the column of the labels is empty" in printed


def test_arrays_without_labels(of_arrays, predict, tmp_path):
    run, file = of_arrays
    expected, printed = predict(run, file)
    assert expected[0] == ["row", "class", "P(a,b)", "P(c)", "P(é)"]
    np.savez(tmp_path / "new.npz", x=np.load(file)["x"].reshape(60, 4), other=np.zeros(3))
    predicted, printed = predict(run, tmp_path / "new.npz")
    assert (predicted, printed) == (expected, ["by best, 4-4-3, the run's best on dev"])
    np.testing.assert_allclose(probabilities(predicted, ["a,b", "c", "é"]).sum(axis=1), 1, rtol=1e-6)


def test_predictions_go_to_a_new_file_and_notes_to_stdout(swept, table, tmp_path, capsys, error_of):
    out = tmp_path / "predictions.csv"
    assert main.main(["predict", str(swept), str(table[2]), "--out", str(out)]) == 0
    printed, err = capsys.readouterr()
    assert printed.startswith(f"{out}: the classes of 120 rows\nby best, ") and "\naccuracy " in printed and err == ""
    read = read_table(out)
    assert list(read.columns) == ["row", "class", "P(no)", "P(yes)"]
    assert read.columns["row"] == [str(i) for i in range(1, 121)]
    before = out.read_bytes()
    assert "exists already, and is not replaced" in error_of(swept, table[2], "--out", out)
    assert out.read_bytes() == before
    assert "must be outside the run's folder" in error_of(swept, table[2], "--out", swept / "predictions.csv")
    assert not (swept / "predictions.csv").exists()
    assert "must exist: create it first" in error_of(swept, table[2], "--out", tmp_path / "absent" / "a.csv")


# Which network


@pytest.mark.full
def test_best_network_on_dev_is_used_by_default(ladder_run, table, predict, error_of, tmp_path):
    run = shutil.copytree(ladder_run, tmp_path / "run")
    for dev, best in (((0.5, 0.75), "one-hidden"), ((0.75, 0.5), "logistic"), ((0.5, 0.5), "logistic")):
        results = json.loads((ladder_run / "results.json").read_text())
        for row, accuracy in zip(results, dev, strict=True):
            row["accuracy"]["dev"] = accuracy
        (run / "results.json").write_text(json.dumps(results))
        assert predict(run, table[2])[1][0].startswith(f"by passengers-{best}, ")
    _, printed = predict(run, table[2], "--network", "passengers-one-hidden")
    assert printed[0] == "by passengers-one-hidden, 5-3-1"
    assert "has no network 'other': there are " in error_of(run, table[2], "--network", "other")
    for content, message in [
        (b"[]", "expected a list of networks, got []"),
        (b"{}", "expected a list of networks"),
        (
            b'[{"data": "a", "network": "b", "accuracy": {"dev": "1"}}]',
            "expected data, network and accuracy or r_squared",
        ),
        (b'[{"data": "../a", "network": "b", "accuracy": {"dev": 1.0}}]', "has no network '../a-b'"),
        (b"[" * 100_000, "nested too deeply"),
        (None, "has no results.json, which ranks its networks"),
    ]:
        (run / "results.json").unlink()
        if content is not None:
            (run / "results.json").write_bytes(content)
        assert message in error_of(run, table[2])


@pytest.mark.full
def test_new_rows_are_read_like_the_training_rows(tmp_path, predict, error_of, capsys):
    """With the marks, the words and the layout of the run; the delimiter may differ."""
    rows = [
        [f"{i % 9},{i % 4}", f"{i % 7}%", f"{1 + i % 5}.{100 + i % 3}", ["NA", "EU"][i % 2], i % 2] for i in range(60)
    ]
    path = write_csv(
        tmp_path / "a.csv", ["id", *"abcd"], [[i + 1, *row[:-1]] for i, row in enumerate(rows)], delimiter=";"
    )
    path.write_text(path.read_text().split("\n", 1)[1].replace("\r", ""))
    argv = ["sweep", str(path), "--no-header", "--label", "column_5", "--missing", "", *SHORT]
    assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 0
    run = only(tmp_path / "runs")
    kept = encoder.load(run)
    assert [column.name for column in kept.columns] == ["column_2", "column_3", "column_4"]
    assert [column.notation[:2] for column in kept.columns] == [(",", ""), (",", ""), (",", ".")]
    capsys.readouterr()
    predicted, notes = predict(run, path)
    assert notes[-2].startswith("accuracy ") and "of 60 rows" in notes[-2]
    new = tmp_path / "new.csv"
    new.write_text("".join("\t".join(map(str, [i, *row[:-1]])) + "\n" for i, row in enumerate(rows)))
    assert predict(run, new)[0] == predicted
    for old, odd, message in [("0,0", "0.5", r"'0.5' in line 1.*decimal comma"), ("0%", "0", "'0' in line 1.*in %"),
                              ("0,0", "NA", "'NA' in line 1, expected a number")]:  # fmt: skip
        new.write_text("\t".join(["1", "0,0", "0%", "1.100", "EU"]).replace(old, odd, 1) + "\n")
        assert re.search(message, error_of(run, new))


@pytest.mark.full
def test_equal_numbers_are_the_same_class(tmp_path, predict):
    path = write_csv(tmp_path / "a.csv", ["a", "y"], [[i / 2, i % 2] for i in range(30)])
    assert main.main(["sweep", str(path), "--label", "y", *SHORT, "--runs-dir", str(tmp_path / "runs")]) == 0
    run = only(tmp_path / "runs")
    before = next(line for line in predict(run, path)[1] if line.startswith("accuracy"))
    new = write_csv(tmp_path / "b.csv", ["a", "y"], [[i / 2, f"{i % 2}.0"] for i in range(30)])
    assert before in predict(run, new)[1]


# What is error_of


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("sex,fare,town", "female,1,S", "has no column 'age', which .* needs: there are sex, fare, town"),
        ("Sex,Age,fare,town", "female,1,1,S", "has no column 'sex', 'age'"),
        ("sex,age,fare,town", "female,old,1,S", "column 'age' holds 'old' in line 3, expected a number"),
        ("sex,age,fare,town", 'female,"1,5",1,S', "'1,5' in line 3, expected a number, .* a point, not a comma"),
        ("sex,age,fare,town", "female,inf,1,S", "column 'age' holds 'inf' in line 3, expected a number"),
        ("sex,age,fare,town", "female,1e31,1,S", r"column 'age' holds 1e31 in line 3, expected numbers up to 1e\+30"),
        ("sex,age,fare,town", "female,1,S", "line 3 has 3 fields, the header 4"),
    ],
)
def test_invalid_rows(swept, error_of, tmp_path, header, row, message):
    (tmp_path / "a.csv").write_text(f"{header}\n{','.join('1' * len(header.split(',')))}\n{row}\n")
    assert re.search(message, error_of(swept, tmp_path / "a.csv"))


def test_numbers_that_overflow_the_network_are_rejected_with_their_place(swept, of_arrays, error_of, tmp_path):
    """A valid number is beyond float32 after division by a deviation of 1e-20, which an untrusted file may have."""
    run = shutil.copytree(swept, tmp_path / "run")
    change_network(run, of_deviations(1e-20))
    (tmp_path / "a.csv").write_text("sex,age,fare,town\nmale,1,1,S\nmale,1,1e30,S\n")
    assert "a.csv: column 'fare' in line 3 is so far from the training rows that the network" in error_of(
        run, tmp_path / "a.csv"
    )
    run = shutil.copytree(of_arrays[0], tmp_path / "arrays")
    change_network(run, of_deviations(1e-20))
    np.savez(tmp_path / "a.npz", x=np.array([[0.0, 0, 0, 0], [0, 0, -1e30, 0]]))
    assert "x[1, 2] is so far" in error_of(run, tmp_path / "a.npz")


def of_deviations(factor):
    """Return a function of a run's network that multiplies the deviations of its standardizer."""
    return lambda network: network._replace(
        standardizer=network.standardizer._replace(std=network.standardizer.std * factor)
    )


def change_network(run, change):
    path = run / "best.safetensors"
    path.write_bytes(encode(change(load_network(path))))


def test_invalid_arrays(of_arrays, swept, table, error_of, tmp_path):
    run, file = of_arrays
    new = tmp_path / "new.npz"
    for arrays, message in [
        (dict(x=np.zeros((3, 5))), "its rows have 5 inputs, but the network takes 4, standardized"),
        (dict(x=np.full((3, 4), np.nan)), "x[0, 0] is nan, expected numbers up to"),
        (dict(x=np.zeros((3, 4)), kind=np.zeros(2, int)), r"kind is int64 (2,), expected a class for each row"),
        (dict(y=np.zeros(3)), "it has no array x, only y"),
    ]:
        np.savez(new, **arrays)
        assert message in error_of(run, new)
    assert f"expected an npz file, with rows as an array x, like the data of {run}, got a table" in error_of(
        run, table[2]
    )
    assert f"expected a table, such as CSV, like the data of {swept}, got npz" in error_of(swept, file)
    assert "must end in one of .csv" in error_of(swept, tmp_path / "a.png")


def test_networks_that_cannot_classify_rows_or_photos(swept, table, error_of, tmp_path, image_run):
    run = shutil.copytree(swept, tmp_path / "run")
    change_network(run, lambda network: network._replace(spec=replace(network.spec, output="linear"), classes=("a",)))
    assert "has an encoder of another run: its network and its labels differ in kind" in error_of(run, table[2])
    run = shutil.copytree(swept, tmp_path / "long")
    change_network(run, lambda network: network._replace(classes=("a", "b" * 101)))
    assert "the network names 2 classes in up to 101 characters" in error_of(run, table[2])
    run = shutil.copytree(swept, tmp_path / "bare")
    change_network(run, lambda network: network._replace(standardizer=None))
    assert "must be a run of catvnoncat, or on your own file" in error_of(run, table[2])
    assert "--out must be used with a file of rows" in error_of(image_run, "a.png", "--out", tmp_path / "a.csv")


def test_unfinished_run_cannot_predict(swept, table, error_of, tmp_path):
    run = shutil.copytree(swept, tmp_path / "run")
    (run / "best.safetensors").unlink()
    assert "holds no trained networks" in error_of(run, table[2])
    (run / ".unfinished").touch()
    assert "is not finished, and has no trained network yet: use resume to continue it" in error_of(run, table[2])


def test_export_names_the_encoder_of_its_inputs(swept, tmp_path, capsys):
    assert main.main(["export", str(swept), "--to", "npz", "--out", str(tmp_path / "a.npz")]) == 0
    assert f"\n{swept / 'encoder.json'} has the encoding of rows" in capsys.readouterr().out


def test_run_on_other_data_rejects_rows(table, error_of, tmp_path, swept):
    run = shutil.copytree(swept, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["options"]["data"] = None
    (run / "config.json").write_text(json.dumps(config | {"experiment": "sweep-digits"}))
    assert "must be a run of catvnoncat, or on your own file" in error_of(run, table[2])
    config["options"] |= {"data": "x.csv"}
    (run / "config.json").write_text(json.dumps(config | {"data": ["no", "object"]}))
    assert main.main(["predict", str(run), str(table[2])]) == 0


# encoder.json from anybody


READING = {"delimiter": None, "encoding": None, "header": True, "missing": None, "words": []}


def column(**values):
    number = {"kind": "number", "name": "a", "median": 1.0, "decimal": ".", "thousands": "", "prefix": "", "suffix": ""}
    return {"label": "y", "reading": READING, "columns": [number | values]}


def category(levels, most_frequent, kind="category"):
    levels = dict(kind=kind, name="a", levels=levels, most_frequent=most_frequent)
    return {"label": "y", "reading": READING, "columns": [levels]}


def reading(**values):
    return column() | {"reading": READING | values}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected an object of label, reading and columns, got []"),
        ({"label": "y"}, "expected an object of label, reading and columns"),
        (column() | {"more": 1}, "expected an object of label, reading and columns"),
        (column() | {"label": 1}, "expected label to be a string"),
        (column() | {"columns": []}, "columns a list that is not empty"),
        (column() | {"columns": [7]}, "expected a column of kind number or category or embedded, got 7"),
        (column() | {"reading": []}, "expected reading to be an object of"),
        (reading(code="x"), "expected reading to be an object of"),
        (reading(delimiter=";;"), "delimiter must be a character or null"),
        (reading(delimiter='"'), "delimiter must be a character or null"),
        (reading(encoding="../x"), "encoding must be a name or null"),
        (reading(header=1), "header must be true or false, got 1"),
        (reading(missing="NA"), "missing must be at most 1000 words"),
        (reading(words=[1]), "words must be at most 1000 words"),
        (column(decimal=";"), "the notation of column"),
        (column(thousands=["."]), "the notation of column"),
        (column(suffix="x" * 11), "the notation of column"),
        (column(kind="pickle"), "expected a column of kind"),
        (column(kind=["number"]), "expected a column of kind"),
        (column(name=7), "expected a column's kind, name, median, decimal"),
        (column(code="x"), "expected a column's kind, name, median, decimal"),
        (column(median=True), "the median of column"),
        (column(median="1"), "the median of column"),
        (column(median=1e31), "must be a number up to 1e+30, got 1e+31"),
        (column(median=10**400), "the median of column"),
        (column(name="y"), "must be different"),
        (category("ab", "a"), "the levels of column"),
        (category(["a"] * 2, "a"), "must be different words"),
        (category(["a"], "b"), "different words that include the most frequent one"),
        (category(["a"], ["a"]), "different words that include the most frequent one"),
        (category([], "a"), "different words that include the most frequent one"),
        (category([1], 1), "at most 100 words"),
        (category([str(i) for i in range(101)], "1"), "at most 100 words"),
        (category([str(i) for i in range(50_001)], "1", "embedded"), "at most 50000 words"),
        (category(["a"], "b", "embedded"), "different words that include the most frequent one"),
        (b'{"label": "y", "label": "z"}', 'the names in an object must be different, got "label" twice'),
        (b'{"label": NaN}', "NaN is not JSON"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"label":' * 1000 + b"1" + b"}" * 1000, "expected an object|nested too deeply"),
        (b"\xff", "damaged, not JSON"),
        (b" " * (encoder.MOST_BYTES + 1), "more than 67,108,864 bytes"),
    ],
)
def test_invalid_encoder_is_a_one_line_error(tmp_path, content, message):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / "encoder.json").write_bytes(data)
    with pytest.raises(InvalidFileError) as refusal:
        encoder.load(tmp_path)
    assert any(each in str(refusal.value) for each in message.split("|"))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500


def test_encoder_round_trip(swept, table, tmp_path):
    written = json.loads((swept / "encoder.json").read_text())
    read = encoder.load(swept)
    assert json.loads(json.dumps(encoder.as_json(*read))) == written
    for levels, most_frequent in (([], ""), (["b", "a"], "a")):
        (tmp_path / "encoder.json").write_text(json.dumps(category(levels, most_frequent)))
        assert encoder.load(tmp_path).columns[0].levels == tuple(levels)


def test_an_encoder_of_another_run_does_not_fit(swept, table, error_of, tmp_path):
    run = shutil.copytree(swept, tmp_path / "run")
    (run / "encoder.json").write_text(json.dumps(column(name="age")))
    assert "its rows have 1 inputs, but the network takes 7" in error_of(run, table[2])
    (run / "encoder.json").unlink()
    assert "has no encoder.json" in error_of(run, table[2])
    (tmp_path / "secret.json").write_text(json.dumps(column(name="age")))
    (run / "encoder.json").symlink_to(tmp_path / "secret.json")
    assert "encoder.json must be inside its folder" in error_of(run, table[2])
