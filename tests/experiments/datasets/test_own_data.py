"""A user's CSV and npz files: how they are read and encoded, and errors with their place."""

import csv
import dataclasses
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import jaxnn
from experiments.cli import main
from experiments.datasets import encoder
from experiments.datasets.column_encoding import check_numbers, encode_columns
from experiments.datasets.column_kinds import fit_columns
from experiments.datasets.columns import Category, Meaning, Number, option
from experiments.datasets.labels import unify_numbers
from experiments.datasets.options import OwnDataOptions
from experiments.datasets.own_data import read_own_data
from experiments.datasets.reading import Reading, reading_of
from experiments.datasets.tasks import Task
from experiments.networks import storage
from experiments.readers import csv_file, numerals
from experiments.readers.csv_file import Layout, read_table
from experiments.readers.errors import InvalidFileError
from experiments.readers.npz import read_npz

FRACTIONS = (0.7, 0.15, 0.15)


def write_csv(path, header, rows, encoding="utf-8", **dialect):
    file = io.StringIO()
    csv.writer(file, **dialect).writerows([header, *rows])
    path.write_bytes(file.getvalue().encode(encoding))
    return path


def passengers(m=120):
    """Return a realistic table with words, numbers, and missing values, as rows of text."""
    random = np.random.default_rng(0)
    rows = []
    for i in range(m):
        sex = random.choice(["male", "female"])
        age = random.choice(["", "NA", "?", f"{random.uniform(1, 80):.1f}"], p=[0.1, 0.05, 0.05, 0.8])
        town = random.choice(["S", "C", "Queenstown, Ireland", ""], p=[0.5, 0.3, 0.15, 0.05])
        rows.append([f'{i}, "Mr"', sex, age, f"{random.exponential(30):.2f}", town, "yes" if sex == "female" else "no"])
    return ["name", "sex", "age", "fare", "town", "survived"], rows


# CSV as columns of words


def table_of(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", list(csv_file.DELIMITERS))
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_csv_round_trip(tmp_path, encoding, delimiter, end):
    header = ["a b", 'say "x"', "é,数;据\t"]
    rows = [["1", 'quoted "twice"', "2,5"], ["", "two\nlines", "x;y"], ["-1e3", "tab\there", "é"]]
    # Before Python 3.13 its writer quotes no \n where lines end otherwise.
    dialect = dict(delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if end == "\r" else csv.QUOTE_MINIMAL)
    path = write_csv(tmp_path / "a.csv", header, rows, encoding, **dialect)
    table = read_table(path)
    assert list(table.columns) == ["a b", 'say "x"', "é,数;据"]
    assert [list(row) for row in zip(*table.columns.values(), strict=True)] == rows
    assert table.lines == [2, 4, 5]


def test_spaces_blank_lines_and_a_last_line_without_end(tmp_path):
    table = table_of(tmp_path, "a , b\n\n 1,x y \n\n2, z")
    assert (table.columns, table.lines) == ({"a": ["1", "2"], "b": ["x y", "z"]}, [3, 5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: expected a header"),
        ("\n\n", "is empty: expected a header"),
        ("a,b\n", "has a header and no rows"),
        ("1.5,2\n3,4\n", "starts with numbers: expected a header"),
        ("a,b,a\n1,2,3\n", "columns 1 and 3 are both called 'a'"),
        ("a,b\n1,2\n3\n", "line 3 has 1 field, the header 2: is it a comment, or a total"),
        ("a,b,c,d\n1,2,3,4\n1,2,3,4,5\n", "line 3 has 5 fields, the header 4: a field with a delimiter inside must be"),
        ("a,b\n1,2\n\n\n3,4,5\n", "line 5 has 3 fields, the header 2"),
        ('a,b\n1,"2\n3,4\n', "line 3: unexpected end of data: is a quote not closed"),
        ('a,b\n1,"2"x\n', "line 2: ',' expected after '\"'"),
        (b"a,b\n1,2\n\xff\x81,4\n", "is not UTF-8 in line 3: save it as CSV in UTF-8"),
        (b"a,b\r1,2\r\xe9\x81,4\r", "is not UTF-8 in line 3"),
        ("a,b\n1,2\n".encode("utf-16-le"), "holds the control character 00 in line 1, so it is not text"),
        ("a,b\n1,\x1b[2J\n", "holds the control character 1b in line 2"),
        ("a,b\n\n1,\x9b2J\n", "holds the control character c2 9b in line 3"),
        ("a,b\n" + "x" * 2**20 + "y,1\n", "line 2 has more than 1,048,576 characters"),
        ("a,b\n" + "x" * 200_000 + ",1\n", "line 2: field larger than field limit"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(InvalidFileError, match=message) as refused:
        table_of(tmp_path, text)
    assert str(refused.value).startswith(str(tmp_path / "a.csv"))
    assert "\n" not in str(refused.value)


def test_too_many_fields(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "MOST_FIELDS", 100)
    assert len(table_of(tmp_path, "a,b\n" + "1,2\n" * 50).lines) == 50
    with pytest.raises(InvalidFileError, match="has more than 100 fields"):
        table_of(tmp_path, "a,b\n" + "1,2\n" * 51)


# Columns as numbers


def scikit_learn(rows, train, kinds):
    """Return inputs (m, n) of scikit-learn, fitted on the rows `train`, before and after standardizing."""
    table = np.array(rows, dtype=object)
    for i, kind in enumerate(kinds):
        table[:, i] = [np.nan if field in ("", "NA", "?") else float(field) if kind == "number" else field
                       for field in table[:, i]]  # fmt: skip
    encode = {
        "number": SimpleImputer(strategy="median"),
        "word": make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
    }
    columns = ColumnTransformer([(str(i), encode[kind], [i]) for i, kind in enumerate(kinds)], sparse_threshold=0)
    inputs = columns.fit(table[train]).transform(table).astype(float)
    return inputs, StandardScaler().fit(inputs[train]).transform(inputs)


def test_inputs_are_those_of_scikit_learn_fitted_on_the_training_part(tmp_path):
    header, rows = passengers()
    rows[5][4] = "Southampton"  # a town of one passenger: known in one part, unknown in the others
    path = write_csv(tmp_path / "passengers.csv", header, rows)
    for seed in range(4):
        data = read_own_data(path, "survived", "name", FRACTIONS, seed)
        y = np.array([row[-1] == "yes" for row in rows]).astype(int)
        parts = jaxnn.split(np.arange(len(rows)), y, FRACTIONS, seed=seed, stratify=True)
        kept = [row[1:5] for row in rows]
        _, expected = scikit_learn(kept, parts[0].x, ["word", "number", "number", "word"])
        for part, got in zip(parts, (data.train, data.dev, data.test), strict=True):
            np.testing.assert_array_equal(got.y, part.y)
            np.testing.assert_allclose(got.x, expected[part.x], rtol=1e-5, atol=1e-6)
            assert (got.x.dtype, got.y.dtype) == (np.float32, np.int32)
        assert data.classes == ("no", "yes")


def test_stored_encoder_encodes_the_same_rows_identically(tmp_path):
    """The JSON is sufficient."""
    header, rows = passengers()
    path = write_csv(tmp_path / "a.csv", header, rows)
    data = read_own_data(path, "survived", "name", FRACTIONS, 0)
    (tmp_path / "encoder.json").write_text(json.dumps(data.encoder))
    kept = encoder.load(tmp_path)
    assert kept.label == "survived"
    inputs = encode_columns(kept.columns, read_table(path, kept.layout), kept.meaning)
    standardized = jaxnn.standardize(data.standardizer, inputs).astype(np.float32)
    got = sorted(map(bytes, np.concatenate([data.train.x, data.dev.x, data.test.x])))
    assert got == sorted(map(bytes, standardized))


def test_unseen_level_is_all_zeros_and_missing_values_are_imputed(tmp_path):
    table = table_of(tmp_path, "n,w\n1,a\n?,b\n9,b\nNA,\nnull,c\n5,N/A\n")
    columns, _, _ = fit_columns(tmp_path, table, ["n", "w"], np.arange(4))
    assert columns == [Number("n", 5.0), Category("w", ("a", "b"), "b")]
    expected = [[1, 1, 0], [5, 0, 1], [9, 0, 1], [5, 0, 1], [5, 0, 0], [5, 0, 1]]
    np.testing.assert_array_equal(encode_columns(columns, table), expected)


def test_notes_describe_the_reading(tmp_path):
    header, rows = passengers()
    notes = read_own_data(write_csv(tmp_path / "a.csv", header, rows), "survived", "name", FRACTIONS, 0).notes
    n_age, n_town = (sum(row[i] in ("", "NA", "?") for row in rows) for i in (2, 4))
    assert notes[0] == "a.csv: 120 rows, 4 columns as 7 inputs, 2 classes"
    assert notes[1] == "read as UTF-8; fields separated by commas"
    yes = sum(row[-1] == "yes" for row in rows)
    assert notes[2] == f"survived: the label, 2 classes and their rows: no ({120 - yes}), yes ({yes})"
    assert notes[3] == "numbers: fare"
    assert f"town: words, one-hot, 3 levels; {n_town} missing, taken as S (empty)" in notes
    assert any(note.startswith(f"age: number; {n_age} missing, taken as the median, ") for note in notes)
    assert notes[-1] == "left out by --drop: name"


def test_classes_that_are_numbers_are_in_order_of_size(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["x", "y"], [[i, [10, 9, 100][i % 3]] for i in range(30)])
    data = read_own_data(path, "y", "", FRACTIONS, 0)
    assert data.classes == ("9", "10", "100")
    np.testing.assert_allclose(np.bincount(data.train.y), 7, atol=1)


def test_large_numbers_close_together_keep_their_digits(tmp_path):
    """Times in seconds, for example: float32 has a spacing of 128 s."""
    path = write_csv(tmp_path / "a.csv", ["x", "y"], [[1_700_000_000 + i, i % 2] for i in range(40)])
    data = read_own_data(path, "y", "", FRACTIONS, 0)
    assert len(np.unique(np.concatenate([data.train.x, data.dev.x, data.test.x]))) == 40


TWENTY = [[i / 2, "ab"[i % 2], i % 2] for i in range(20)]


@pytest.mark.parametrize(
    ("rows", "label", "drop", "message"),
    [
        (TWENTY, None, "", "--label must be given, the column to predict: there are n, w, y"),
        (TWENTY, "Y", "", "has no column 'Y': there are n, w, y"),
        (TWENTY, "y", "n,q", "has no column 'q': there are n, w, y"),
        (TWENTY, "y", "n,w", "must have another column than 'y', as input"),
        (TWENTY[:9], "y", "", "has 9 rows, too few to split"),
        ([[1, "a", 0], *TWENTY, [1, "a", ""]], "y", "", "line 23 has no label in column 'y'"),
        ([[n, w, 1] for n, w, _ in TWENTY], "y", "", "'y' is '1' in every row"),
        ([[1, "a", i % 13] for i in range(40)], "y", "", "13 different whole numbers in 40 rows, such as 0, 1"),
        ([["NA", "", y] for _, _, y in TWENTY], "y", "", "has no values in the columns of inputs"),
        ([*TWENTY, ["1e31", "a", 0]], "y", "", r"column 'n' holds 1e31 in line 22, expected numbers up to 1e\+30"),
        ([*TWENTY, ["1e999", "a", 0]], "y", "", "column 'n' holds 1e999 in line 22"),
        ([*([n, w, w] for n, w, _ in TWENTY), [1, "a", "two\nlines"]], "y", "",
         r"'y' holds 'two\\nlines', expected names of classes without line breaks"),
        ([[f"id {i}", "a", i % 2] for i in range(200)], "y", "",
         "'id 0' in line 2 is not a number.*200 different words"),
        ([*([i, "a", i % 2] for i in range(200)), ["inf", "a", 0]], "y", "", "column 'n' holds 'inf' in line 202"),
    ],
)  # fmt: skip
def test_unusable_data_raise(tmp_path, rows, label, drop, message):
    path = write_csv(tmp_path / "a.csv", ["n", "w", "y"], rows)
    with pytest.raises(InvalidFileError, match=message) as refused:
        read_own_data(path, label, drop, FRACTIONS, 0)
    assert str(refused.value).startswith(str(path))


# npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_round_trip(tmp_path, save):
    random = np.random.default_rng(0)
    arrays = {
        "x": np.asfortranarray(random.normal(size=(3, 4))),
        "y": np.array(["é", "bb", "c"]),
        "z": random.integers(0, 9, (2, 3, 4)).astype(">i2"),
        "b": np.array(True),
        "e": np.zeros((0, 7), np.float16),
    }
    save(tmp_path / "a.npz", **arrays)
    for name, array in read_npz(tmp_path / "a.npz", list(arrays)).items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


def test_own_npz_is_split_and_standardized(tmp_path):
    wine = load_wine()
    names = wine.target_names[wine.target]
    np.savez(tmp_path / "wine.npz", x=wine.data, y=names, other=wine.target[:, None])
    data = read_own_data(tmp_path / "wine.npz", None, "", FRACTIONS, 0)
    assert data.classes == tuple(wine.target_names) and data.encoder is None
    train = jaxnn.split(wine.data, wine.target, FRACTIONS, seed=0, stratify=True)[0]
    np.testing.assert_allclose(data.train.x, StandardScaler().fit_transform(train.x), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(read_own_data(tmp_path / "wine.npz", "other", "", FRACTIONS, 0).dev.y, data.dev.y)


def npy(shape, descr="'<f8'", fortran="False"):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (npy("(1000000000000, 10)"), r"x declares float64 \(1000000000000, 10\), more than"),
        (npy("(10, 2)") + bytes(159), "but has 159"),
        (npy("(10, 2)") + bytes(161), "but has more"),
        (npy("(10, 2)") + bytes(2**27), "but has more"),  # a bomb, of 130 kB
        (npy("(10, 2)", "'|O'") + bytes(160), "x is described as .*expected an array of numbers or words"),
        (npy("(10, 2)", "[('a', '<f8')]") + bytes(160), "x is described as"),
        (npy("(10, -2)") + bytes(160), "x is described as"),
        (npy("-" * 5000), "x is described as"),
        (npy("(10, 2)", "'<U99999999'"), "x is described as"),
        (b"\x93NUMPY\x09\x00", r"x is of version \(9, 0\) of the npy format"),
        (npy("(2,)", "'<U1'") + b"a\0\0\0\0\0\x11\0", "x holds invalid characters"),
        (b"x", "is not a valid npz file"),
        (b"", "is not a valid npz file"),
    ],
)
def test_npz_that_declares_more_than_it_has(tmp_path, x, message):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", x)
    with pytest.raises(InvalidFileError, match=message):
        read_npz(path, ["x"])


def test_npz_of_objects_runs_nothing(tmp_path):
    """A pickle would run code; so the array is rejected by its header."""
    ran = tmp_path / "ran"

    class Touch:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    np.savez(tmp_path / "a.npz", x=np.array([Touch()], dtype=object), y=np.zeros(1))
    with pytest.raises(InvalidFileError, match="expected an array of numbers or words"):
        read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0)
    assert not ran.exists()


def test_a_zip_directory_of_any_size_is_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for i in range(2000):
            archive.writestr(f"{i}.npy", b"")
    with pytest.raises(InvalidFileError, match="its directory has .* bytes, expected at most"):
        read_npz(tmp_path / "a.npz", ["x"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (dict(x=np.zeros((20, 2))), "has no array y, only x"),
        (dict(x=np.zeros(20), y=np.arange(20) % 2), r"x is float64 \(20,\), expected numbers \(m, n\)"),
        (dict(x=np.zeros((20, 2)), y=np.arange(19) % 2), r"y is int64 \(19,\), expected a class for each row"),
        (dict(x=np.zeros((20, 2)), y=np.eye(20)), r"for one-hot labels use y.argmax\(axis=1\)"),
        (dict(x=np.zeros((20, 2)), y=np.where(np.arange(20) == 3, np.nan, 0.1)), r"y\[3\] is nan, expected numbers up"),
        (dict(x=np.zeros((20, 2)), y=np.full(20, np.nan)), "y is float64 and nan in row 0"),
        (dict(x=np.zeros((60, 2)), y=np.full(60, 0.5)), "'y' is 0.5 in every row, expected numbers that differ"),
        (dict(x=np.full((20, 2), np.nan), y=np.arange(20) % 2), r"x\[0, 0\] is nan, expected numbers up to"),
        (dict(x=np.array([["a"]] * 20), y=np.arange(20) % 2), "x is <U1"),
        (dict(x=np.zeros((0, 2)), y=np.zeros(0, int)), r"x is float64 \(0, 2\)"),
    ],
)
def test_unusable_npz_raises(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InvalidFileError, match=message):
        read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0)


# The commands


@pytest.fixture
def iris(tmp_path):
    data = load_iris()
    rows = [[*row, data.target_names[y]] for row, y in zip(data.data, data.target, strict=True)]
    return write_csv(tmp_path / "my flowers é.csv", [*data.feature_names, "species"], rows)


@pytest.mark.full
def test_sweep_on_a_file_and_its_best_network_classifies_new_rows(iris, capsys, tmp_path):
    argv = ["sweep", str(iris), "--label", "species", "--learning-rate", "0.03", "--seed", "0", "--epochs", "30"]
    assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 0
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "runs").iterdir()
    said = "my flowers é.csv: 150 rows, 4 columns as 4 inputs, 3 classes"
    assert said in out and said in (folder / "report.txt").read_text()
    assert out.endswith(f"\nto predict new rows: {main.PROG} predict {folder} FILE\n")
    assert json.loads((folder / "config.json").read_text())["options"]["data"] == str(iris)
    kept = json.loads((folder / "encoder.json").read_text())
    assert [column["name"] for column in kept["columns"]] == load_iris().feature_names
    stored = storage.load(folder / "best.safetensors")
    x = jaxnn.standardize(stored.standardizer, load_iris().data).astype(np.float32)
    labels = np.array(stored.classes)[np.asarray(stored.spec.model().predict(stored.params, x))]
    assert np.mean(labels == load_iris().target_names[load_iris().target]) > 0.9
    results = json.loads((folder / "results.json").read_text())
    assert (folder / "classes.png").is_file() and set(results["test"]["classes"]) == {*load_iris().target_names}
    data = read_own_data(iris, "species", "", FRACTIONS, 0)
    majority = np.mean(data.test.y == np.bincount(data.train.y).argmax())
    assert f"without inputs: test accuracy {100 * majority:.2f} %" in out


@pytest.mark.full
@pytest.mark.parametrize("command", ["run ladder --data", "sweep"])
def test_weights_of_classes_change_what_is_predicted(command, tmp_path, capsys):
    """Without information in the inputs, every row is of the class whose weighted rows are most."""
    path = write_csv(tmp_path / "a.csv", ["a", "y"], [[i % 2, "rare" if i % 5 == 0 else "often"] for i in range(200)])
    for weights, expected in [((), "often"), (("--class-weight", "rare=9"), "rare")]:
        runs = tmp_path / expected
        argv = [*command.split(), str(path), "--label", "y", "--epochs", "20", "--runs-dir", str(runs), *weights]
        argv += ["--learning-rate", "0.03"] + (["--seed", "0"] if command == "sweep" else [])
        assert main.main(argv) == 0
        (run,) = runs.iterdir()
        capsys.readouterr()
        assert main.main(["predict", str(run), str(path)]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        assert {line.split(",")[1] for line in lines} == {expected}


@pytest.mark.full
def test_ladder_on_a_file(iris, capsys, tmp_path, monkeypatch):
    from experiments.networks.spec import NetworkSpec
    from experiments.runs import timing
    from experiments.studies.ladder import run as ladder

    spec = NetworkSpec((4, 3), output="softmax", init="zeros")  # balanced classes, so the first gradient of b is 0
    monkeypatch.setattr(ladder, "baseline_specs", lambda data: {"logistic": spec})
    monkeypatch.setattr(timing, "_SECONDS_PER_ROUND", 1e-3)
    monkeypatch.setattr(timing, "_ROUNDS", 2)
    argv = ["run", "ladder", "--data", str(iris), "--label", "species", "--epochs", "2"]
    assert main.main([*argv, "--runs-dir", str(tmp_path / "runs")]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"encoder.json", "my-flowers-é-logistic.safetensors"} <= {path.name for path in folder.iterdir()}
    assert "150 rows" in (folder / "report.txt").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("run ladder --data absent.csv --label y", "absent.csv: No such file"),
        ("run ladder --data a.xls --label y", "a.xls must end in one of .csv"),
        ("run ladder --label y", "--data FILE must be given with --label, options for your own data"),
        ("run ladder --data rows.csv", "--label must be given, the column to predict"),
        ("run ladder --data rows.csv --label y --task classification --nonnegative", "--nonnegative must be used with"),
        ("run ladder --nonnegative", "--data FILE must be given with --nonnegative"),
        ("run ladder --data rows.csv --label y --batch-size 32", "--batch-size must be from 1 to 14"),
        ("run ladder --data rows.csv --label y --decimal x", "--decimal must be . or , got 'x'"),
        ("run ladder --data rows.csv --label y --delimiter ab", "--delimiter must be one character"),
        ("sweep rows.csv --label y --batch-size 15", "--batch-size must be from 1 to 14"),
        ("sweep digits --missing NA --no-header", "--missing, --no-header must be used with your own data, got digits"),
        ("sweep rows.csv --label z", "rows.csv has no column 'z'"),
        ("sweep digits --label y", "--label must be used with your own data, got digits: use sweep FILE"),
        ("sweep own --label y", "--data FILE must be given with --label, options for your own data"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "rows.csv", ["n", "w", "y"], TWENTY)
    assert main.main(argv.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("field", ["1", "-1.5", "+.5", "5.", "1e5", "1E-05", "-.5e+3"])
def test_fields_that_look_like_numbers(field):
    assert numerals.NUMBER.fullmatch(field) and float(field) is not None


@pytest.mark.parametrize("field", ["", ".", "e5", "1_0", "inf", "1.2.3", "\u0661", "0x10", "1e"])
def test_invalid_options_raise_before_reading(field):
    assert not numerals.NUMBER.fullmatch(field)
    assert not numerals.NUMBER.fullmatch("1" * 100_000 + field + "x")


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (1, -1)])
@pytest.mark.parametrize(
    ("of", "classes"),
    [
        (lambda y: y == 2, ("False", "True")),
        (lambda y: y.astype(np.float32), ("0", "1", "2")),
        (lambda y: y.astype(">i2"), ("0", "1", "2")),
        (lambda y: np.array(["b", "a", "é"])[y], ("a", "b", "é")),
        (lambda y: np.array([b"b", b"a", b"c"])[y], ("a", "b", "c")),
    ],
    ids=["bool", "float", "int", "words", "bytes"],
)
def test_labels_of_npz_in_any_form(tmp_path, shape, of, classes):
    y = np.arange(30) % 3
    np.savez(tmp_path / "a.npz", x=np.arange(60.0).reshape(30, 2), y=of(y).reshape(shape))
    assert read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0).classes == classes


@pytest.mark.full
def test_small_files_train_in_one_batch(tmp_path, monkeypatch):
    """The ladder and a sweep train on 10 rows, the minimum, and their networks predict."""
    from experiments.networks.spec import NetworkSpec
    from experiments.studies.ladder import run as ladder

    monkeypatch.setattr(ladder, "baseline_specs", lambda data: {"logistic": NetworkSpec((1, 1), init="zeros")})
    path = write_csv(tmp_path / "a.csv", ["n", "y"], [[i / 2, i % 2] for i in range(10)])
    common = ["--label", "y", "--epochs", "1", "--runs-dir", str(tmp_path / "runs")]
    assert main.main(["run", "ladder", "--data", str(path), "--no-time-steps", *common]) == 0
    assert main.main(["sweep", str(path), "--learning-rate", "0.1", "--seed", "0", "--width", "2", *common]) == 0
    for run in (tmp_path / "runs").iterdir():
        assert json.loads((run / "config.json").read_text())["options"]["batch_size"] is None
        assert main.main(["predict", str(run), str(path)]) == 0


def test_inputs_are_in_float64_until_they_are_standardized(tmp_path):
    """Also for npz files: numbers close together keep their digits, and integers do not wrap."""
    x = np.stack([1_700_000_000 + np.arange(40.0), np.arange(40) % 7], axis=1)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    np.savez(tmp_path / "b.npz", x=x.astype(np.uint32), y=np.arange(40) % 2)
    a, b = (read_own_data(tmp_path / name, None, "", FRACTIONS, 0) for name in ("a.npz", "b.npz"))
    part = jaxnn.split(np.arange(40), np.arange(40) % 2, FRACTIONS, seed=0, stratify=True)[0].x
    np.testing.assert_allclose(a.train.x, StandardScaler().fit_transform(x[part]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(a.train.x, b.train.x)


def test_too_many_rows_and_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "MOST_ROWS", 20)
    monkeypatch.setattr(csv_file, "MOST_COLUMNS", 3)
    assert len(table_of(tmp_path, "a,b\n" + "1,2\n" * 20).lines) == 20
    with pytest.raises(InvalidFileError, match="has more than 20 rows: train on a part of it"):
        table_of(tmp_path, "a,b\n" + "1,2\n" * 21)
    with pytest.raises(InvalidFileError, match="has 4 columns, expected at most 3"):
        table_of(tmp_path, "a,b,c,d\n1,2,3,4\n")


# Marks, advice, and labels beyond float64


def refusal(tmp_path, text, label="y", **reading):
    """Return the error message of the reader, or `None` if it reads the file."""
    (tmp_path / "a.csv").write_text(text)
    try:
        read_own_data(tmp_path / "a.csv", label, "", FRACTIONS, 0, Reading(**reading))
    except InvalidFileError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("given", "column", "field"),
    [({"decimal": ","}, "a", "0.5"), ({"decimal": "."}, "b", "0,5"), ({"thousands": "."}, "a", "0.5")],
)
def test_numbers_that_are_not_of_the_given_mark(tmp_path, given, column, field):
    rows = "".join(f"{i}.5;{i},5;{i % 2}\n" for i in range(40))
    said = refusal(tmp_path, "a;b;y\n" + rows, **given)
    assert f"column {column!r} holds {field!r} in line 2" in said
    assert (f"with {given.get('decimal')} as the decimal mark" in said) == ("decimal" in given)


def test_suggested_missing_option_keeps_the_missing_values(tmp_path):
    """NA must stay a missing value if the user follows the suggestion for another field."""
    rows = [[f"{i}.25", f"{i}.75", ["EU", "US", "NA"][i % 3], i % 2] for i in range(40)]
    rows[3][0], rows[5][0], rows[9][1], rows[11][1] = "tbd", "n.a.", "-", "x,y"
    text = table_as_text(["a", "b", "c", "y"], rows)
    said = refusal(tmp_path, text)
    assert "use --missing -,NA,n.a.,tbd if it is a missing value" in said.replace("--missing=", "--missing ")
    said = refusal(tmp_path, text, missing="-,NA,n.a.,tbd")
    assert "--missing='-,NA,n.a.,tbd,\"x,y\"' if it is a missing value" in said
    assert refusal(tmp_path, text, missing='-,NA,n.a.,tbd,"x,y"') is None


def table_as_text(header, rows):
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue()


def test_suggested_options_parse_as_the_same_option():
    assert option("--words", "-a") == "--words=-a"
    assert option("--drop", "a b", "c,d") == "--drop 'a b,\"c,d\"'"


def test_labels_that_are_equal_in_float64(tmp_path):
    for a, b in [("9007199254740992", "9007199254740993"), ("1e400", "1e401"), ("1", "1.00000000000000000001")]:
        words = [a, b] * 20
        assert unify_numbers(words) == words
        (tmp_path / "a.csv").write_text("a,y\n" + "".join(f"{i}.5,{word}\n" for i, word in enumerate(words)))
        data = read_own_data(tmp_path / "a.csv", "y", "", FRACTIONS, 0)
        assert data.classes == (a, b)
    assert unify_numbers(["1", "1.0", "1", "10e-1", "1e99999999999999999999"])[:4] == ["1"] * 4


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([0.0, -0.0] * 10 + [1.0] * 20), ("0", "1")),
        (np.array(["1", "1.0", "2 ", "2"] * 10), ("1", "2")),
        (np.array([b"a ", b"b"] * 20), ("a", "b")),
    ],
)
def test_labels_of_npz_that_are_equal(tmp_path, y, classes):
    np.savez(tmp_path / "a.npz", x=np.arange(80.0).reshape(40, 2), y=y)
    assert read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0).classes == classes


@pytest.mark.parametrize("missing", [float("nan"), ""])
def test_labels_of_npz_that_are_missing(tmp_path, missing):
    """In the form that the suggested .astype(str) writes."""
    y = np.array([missing if i == 7 else "ab"[i % 2] for i in range(40)], object).astype(str)
    np.savez(tmp_path / "a.npz", x=np.arange(80.0).reshape(40, 2), y=y)
    with pytest.raises(InvalidFileError, match=rf"y\[7\] is '{missing}', expected a class for each row"):
        read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0)


def test_many_classes_of_npz_are_read_with_the_suggested_option(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 13)
    with pytest.raises(InvalidFileError, match="use --task classification or --task regression"):
        read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0)
    for options in ({"reading": Reading(words="y")}, {"task": Task("classification")}):
        assert len(read_own_data(tmp_path / "a.npz", None, "", FRACTIONS, 0, **options).classes) == 13


def test_label_that_is_dropped(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,y\n" + "1,2,0\n3,4,1\n" * 20)
    with pytest.raises(InvalidFileError, match="--drop and --label both name y"):
        read_own_data(tmp_path / "a.csv", "y", "y", FRACTIONS, 0)


def test_blanks_inside_quotes_are_kept(tmp_path):
    (tmp_path / "a.txt").write_text(' a   "b  c"\t y \n 1   "d  e"   f\n\n   \n 2 \t "g" h\n')
    table = read_table(tmp_path / "a.txt", Layout(" "))
    assert dict(table.columns) == {"a": ["1", "2"], "b  c": ["d  e", "g"], "y": ["f", "h"]}


def test_utf_16_that_is_cut(tmp_path):
    (tmp_path / "a.csv").write_bytes("a,y\n1,2\n".encode("utf-16")[:-1])
    with pytest.raises(InvalidFileError, match="is not UTF-16 in line"):
        read_table(tmp_path / "a.csv")


def test_encodings_are_kept_by_their_usual_names():
    options = dataclasses.replace(OwnDataOptions(data=None), encoding="Shift JIS")
    assert reading_of(options).layout.encoding == "shift_jis"


def test_error_for_new_rows_lists_the_missing_values(tmp_path):
    """With the meaning of the training, not the default."""
    (tmp_path / "a.csv").write_text("a\nNA\n")
    table, column = read_table(tmp_path / "a.csv"), Number("a", 0.0)
    for missing, said in [(("tbd", "-"), "an empty field or tbd or -"), (("",), "an empty field")]:
        with pytest.raises(InvalidFileError, match=rf"holds 'NA' in line 2, .* \(a missing value is {said}\)"):
            check_numbers(tmp_path / "a.csv", [column], table, Meaning(missing))
    check_numbers(tmp_path / "a.csv", [column], table)
