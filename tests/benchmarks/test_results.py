"""scripts/bench results: what is trained, resumed, read and judged. Trainings are replaced by files."""

import json

import pytest

from experiments.runs.environment import describe_environment
from experiments.studies.speech.networks import CANDIDATES
from experiments.studies.speech.strings import CONDITIONS
from scripts.benchmarks import results
from scripts.benchmarks.results import Reached, Row, line, main, misses, reach

ROW = Row(
    "lenet5",
    "mnist",
    {"preset": "lenet5", "seeds": 3, "ensemble": True},
    "1 x 2",
    "0.95 (LeCun)",
    0.95,
    lambda found: [100 * error for error in found["test_error"]],
    lambda found: 100 * found["ensemble_error"],
)


def reached(*errors, ensemble=1.0):
    return Reached(list(errors), ensemble, 90.0, False)


@pytest.mark.parametrize(
    ("errors", "missed"),
    [((0.9, 0.95, 1.5), False), ((0.9, 0.951, 0.96), True), ((float("nan"),), True), ((0.1, float("nan")), True)],
)
def test_a_row_misses_if_its_median_is_above_the_bar_or_no_number(errors, missed):
    assert misses(ROW, reached(*errors)) is missed


def test_the_ensemble_is_judged_if_the_bar_is_for_it():
    assert not misses(ROW._replace(of_ensemble=True), reached(2.0, ensemble=0.95))
    assert misses(ROW._replace(of_ensemble=True), reached(0.1, ensemble=0.96))
    assert misses(ROW._replace(of_ensemble=True), reached(0.1, ensemble=float("nan")))


def test_line_is_a_row_of_the_table():
    printed = line(ROW, Reached([0.9, 0.92, 0.97], 0.66, 190.0, True))
    assert printed == "| `lenet5` * | 1 x 2 | 0.95 (LeCun) | 0.92 (0.90-0.97) | 0.66 | 3 minutes |"
    assert "| 5 seeds, 42 s |" in line(ROW, Reached([0.3] * 5, 0.2, 42.0, False))


def test_every_preset_for_a_cpu_has_a_row():
    presets = results.PRESETS
    of_images = {row.name for row in results.rows() if row.study == "mnist"}
    assert of_images == {name for name in presets if presets[name].device == "cpu"}
    assert {"lecun-linear", "simard-elastic", "lenet5", "lenet5-distorted", "simard-conv", "rows-lstm"} <= {
        row.name for row in results.rows()
    }


def test_rows_of_sequences_read_what_the_studies_write():
    """The names of conditions and networks are those of the studies, and errors are in percent."""
    rows = {row.name: row for row in results.rows() if row.study != "mnist"}
    assert {row.study for row in rows.values()} == {"speech", "text", "adding", "translation"}
    assert {name.partition(", ")[2] for name in rows if name.startswith("speech, ")} == {*CANDIDATES}
    assert {name.partition(", ")[2] for name in rows if "strings" in name} == {*CONDITIONS}
    accuracies = {"test_accuracy": [99.5, 98.0, 97.5]}
    assert rows["speech, recurrent"].errors({"recurrent": accuracies}) == [0.5, 2.0, 2.5]
    scores = {"scores": {"clean": [{"digits": 2000, "errors": 3}]}}
    assert rows["speech --strings, clean"].errors(scores) == [0.15]
    assert rows["text"].errors({"test_nats": 1.5}) == [1.5]
    assert rows["adding"].errors({"long short-term memory": {"errors": [0.2, 0.001]}}) == [0.001]
    assert rows["translation, recurrent"].errors({"test_bleu": 33.4}) == [33.4]
    printed = line(rows["text"], Reached([1.5283], float("nan"), 700.0, False))
    assert printed.endswith("; bar 1.56 | 1.528 nats |  | 1 seed, 12 minutes |")
    assert not misses(rows["text"], Reached([1.56], float("nan"), 1.0, False))
    assert misses(rows["text"], Reached([1.561], float("nan"), 1.0, False))
    for bleu, missed in ((33.0, False), (32.9, True), (60.0, False), (float("nan"), True)):
        assert misses(rows["translation, recurrent"], Reached([bleu], float("nan"), 1.0, False)) == missed
    assert "| 35.9 BLEU |" in line(rows["translation, transformer"], Reached([35.89], float("nan"), 1.0, False))


class Trainings:
    """A folder of runs, and what was executed: `run` and `resume` write results of a stated error."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.executed = folder, []
        monkeypatch.setattr(results, "_execute", self.execute)

    def add(self, name, error=None, source=None, seeds=3):
        path = self.folder / "lenet5" / name
        path.mkdir(parents=True)
        versions = describe_environment(())["versions"] | ({"source": source} if source else {})
        options = {**ROW.options, "seeds": seeds, "seed": 0}
        text = {"format_version": 1, "experiment": "mnist", "options": options, "versions": versions}
        (path / "config.json").write_text(json.dumps(text))
        if error is None:
            (path / ".unfinished").touch()
        else:
            self.finish(path, error)
        return path

    def finish(self, path, error):
        (path / "results.json").write_text(json.dumps({"test_error": [error] * 3, "ensemble_error": error / 2}))
        with (path / "timings.txt").open("a") as file:
            file.write("6.5 s in total, 26% of it to trace and compile\n")
        (path / ".unfinished").unlink(missing_ok=True)

    def execute(self, *words):
        self.executed.append(words)
        path = self.folder / "lenet5" / "mnist-9" if words[0] == "run" else self.folder / "lenet5" / "mnist-1"
        if words[0] == "run":
            self.add("mnist-9")
        self.finish(path, 0.009)


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    return Trainings(tmp_path, monkeypatch)


def test_a_row_without_a_run_is_trained(trainings):
    got = reach(ROW, trainings.folder, None)
    flags = ("--preset", "lenet5", "--seeds", "3", "--ensemble")
    assert trainings.executed == [("run", "mnist", *flags, "--runs-dir", str(trainings.folder / "lenet5"))]
    assert got == Reached([0.8999999999999999] * 3, 0.44999999999999996, 6.5, False)


def test_a_finished_run_is_read(trainings):
    trainings.add("mnist-1", 0.02)
    assert reach(ROW, trainings.folder, None).errors == [2.0] * 3
    assert trainings.executed == []


def test_an_interrupted_run_is_resumed_and_its_times_are_added(trainings):
    path = trainings.add("mnist-1")
    (path / "timings.txt").write_text("3.5 s in total, 90% of it to trace and compile\n")
    assert reach(ROW, trainings.folder, trainings.folder).seconds == 10.0
    assert trainings.executed == [("resume", str(path), "--data-dir", str(trainings.folder))]


def test_a_run_of_other_code_is_read_with_reuse_alone(trainings):
    trainings.add("mnist-1", 0.02, source="0123456789ab")
    got = reach(ROW, trainings.folder, None, reuse=True)
    assert (got.errors, got.other, trainings.executed) == ([2.0] * 3, True, [])
    assert not reach(ROW, trainings.folder, None).other
    assert [words[0] for words in trainings.executed] == ["run"]


def test_a_run_with_other_options_is_not_read(trainings):
    trainings.add("mnist-1", 0.02, seeds=1)
    reach(ROW, trainings.folder, None)
    assert [words[0] for words in trainings.executed] == ["run"]


@pytest.mark.parametrize(("error", "status"), [(0.0095, 0), (0.0096, 1)])
def test_status_is_1_if_a_row_misses_its_bar(trainings, capsys, error, status):
    trainings.add("mnist-1", error)
    assert main(["--only", "lenet5", "--runs-dir", str(trainings.folder)]) == status
    head, _, row, _, verdict = capsys.readouterr().out.splitlines()
    assert head.startswith("| preset | network | published |")
    assert row.startswith("| `lenet5` |")
    assert verdict == f"short of the bar: {status} of 1{': lenet5' * status}"


def test_an_unknown_row_is_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "lenet6"])
    assert "--only must be the name of a row, got 'lenet6': one of lecun-linear," in capsys.readouterr().err
