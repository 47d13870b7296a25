"""Sweeps: the plan, each training against `fit`, the ranking, and the run's folder."""

import csv
import io
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import jaxnn
from experiments.cli import main
from experiments.datasets.dataset import Dataset
from experiments.networks import storage
from experiments.studies.sweep import DATA, Options, data, pictures, report, training
from experiments.studies.sweep import run as sweep
from experiments.studies.sweep.plan import make_plan
from experiments.studies.sweep.ranking import rank, tied
from experiments.studies.sweep.training import Training
from tests.experiments.readers.test_idx import idx

pytestmark = pytest.mark.usefixtures("quick_compilation")


def blobs(classes=3, m=24, n_in=4):
    """A small problem: one cluster per class."""
    random = np.random.default_rng(0)

    def part():
        y = np.arange(m) % classes
        return jaxnn.Batch((random.normal(size=(m, n_in)) + 2 * np.eye(classes, n_in)[y]).astype(np.float32), y)

    return Dataset(part(), part(), part(), tuple("abc"[:classes]))


# The plan


def test_a_grid_has_every_combination_and_names_what_was_swept():
    plan = make_plan(Options(learning_rate="0.1,0.01", l2="0,0.5", activation="tanh,relu", seed="3,1"))
    assert len(plan.points) == 8
    assert len({tuple(point.values()) for point in plan.points}) == 8
    assert plan.swept == {"activation": ("tanh", "relu"), "learning_rate": (0.01, 0.1), "l2": (0, 0.5)}
    assert plan.seeds == (3, 1)
    assert "momentum" not in plan.points[0]
    assert make_plan(Options(optimizer="momentum")).points[0]["momentum"] == 0.9


def test_points_are_sampled_from_ranges_and_lists_reproducibly():
    options = dict(learning_rate="1e-4..1e-1:8", dropout="0..0.5", width="4,8", activation="tanh,relu", random=50)
    plan = make_plan(Options(**options))
    assert len(plan.points) == 50
    assert plan.drawn
    assert len(plan.swept["learning_rate"]) == 50
    assert (plan.swept["width"], set(plan.swept["activation"])) == ((4, 8), {"tanh", "relu"})
    assert plan == make_plan(Options(**options))
    assert plan.points != make_plan(Options(**options, random_seed=1)).points


def test_a_program_for_each_activation_and_depth_and_constants_where_nothing_varies():
    plan = make_plan(Options(learning_rate="0.1,0.01", depth="1,2", activation="tanh,relu", width="2,4", seed="0..2"))
    groups = training.groups_of(plan)
    assert [str(group) for group in groups] == [
        f"{activation}, hidden layers: {depth}" for activation in ("tanh", "relu") for depth in (1, 2)
    ]
    assert sorted(point for group in groups for point in group.points) == list(range(16))
    assert groups[1].sizes == (4, 4)
    assert set(groups[0].varying) == {"learning_rate", "width", "seed"}
    assert groups[0].fixed["dropout"] == 0


# The trainings


SWEPT = dict(
    learning_rate="0.05..0.2",
    momentum="0.5..0.9",
    l2="0..0.1",
    dropout="0..0.5",
    init_scale="0.5..1",
    label_smoothing="0..0.2",
    width="2..5",
)


def written_out(h, problem, **plan):
    """Return the same training without the sweep: with soft labels, and the first units of the widest network."""
    classes = len(problem.classes)
    output, n_out = ("binary", 1) if classes == 2 else ("softmax", classes)
    sizes, options = (4, 5, 5, n_out), dict(output=output, init="he", dropout_rate=h["dropout"])
    model = jaxnn.contrib.traced_width_mlp(sizes, h["width"], "tanh", **options)
    init_key, fit_key = jax.random.split(jax.random.key(h["seed"]))
    params = jax.tree.map(lambda w: h["init_scale"] * w, model.init(init_key))
    share, y = h["label_smoothing"], np.eye(classes)[problem.train.y]
    soft = ((1 - share) * y + share / classes).astype(np.float32)
    soft = soft[:, 1] if classes == 2 else soft
    objective = jaxnn.objective(model.network, model.loss, jaxnn.l2(h["l2"]))
    optimizer = optax.sgd(h["learning_rate"], momentum=h["momentum"])
    return jaxnn.fit(objective, optimizer, params, problem.train.x, soft, key=fit_key, **plan)


@pytest.mark.full
@pytest.mark.parametrize("classes", [2, 3])
def test_training_equals_fit(classes):
    """With every hyperparameter varying, and separate batches; the same holds for the stored network."""
    problem = blobs(classes)
    plan = make_plan(Options(**SWEPT, depth="2", activation="tanh", optimizer="momentum", random=6, seed="5,9"))
    (group,) = training.groups_of(plan)
    assert set(group.varying) == {*SWEPT, "seed"}
    how = dict(epochs=4, batch_size=10)
    trained = training.train(group, problem, optimizer="momentum", **how, callback=lambda report: None)
    assert [(one.point, one.seed) for one in trained] == [(i, seed) for i in range(6) for seed in (5, 9)]
    one = trained[7]
    h = plan.points[one.point] | {"seed": one.seed}
    alone = written_out(h, problem, **how)
    got, expected = (jax.tree.leaves(params) for params in (one.params, alone.params))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
    assert one.train_loss == pytest.approx(alone.history[-1]["loss"], rel=1e-4)
    stored = training.network_of(one, plan.points[one.point], problem)
    assert stored.spec.sizes[1:-1] == (h["width"],) * 2
    model = stored.spec.model()
    z = np.asarray(model.outputs(stored.params, problem.dev.x), np.float64)
    assert np.mean(np.asarray(model.labels(z)) == problem.dev.y) == pytest.approx(one.dev_score)
    z = np.concatenate([np.zeros_like(z), z], axis=1) if classes == 2 else z
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), problem.dev.y]
    assert one.dev_loss == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.representatives("2")
@pytest.mark.parametrize("classes", [2, 3])
def test_smoothed_labels_are_those_of_the_formula(classes):
    random = np.random.default_rng(0)
    z = random.normal(size=(5, 1 if classes == 2 else classes))
    y = np.array([0, 1, 1, 0, classes - 1])
    logits = np.concatenate([np.zeros_like(z), z], axis=1) if classes == 2 else z
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    soft = 0.7 * np.eye(classes)[y] + 0.3 / classes
    loss = training.loss_of(0.3, classes)
    np.testing.assert_allclose(loss.value(jnp.array(z), jnp.array(y)), -(soft * log_p).sum(axis=1), rtol=1e-5)
    slopes = np.exp(log_p) - soft
    gradient = loss.gradient(jnp.array(z), jnp.array(y))
    np.testing.assert_allclose(gradient, slopes[:, 1:] if classes == 2 else slopes, rtol=1e-4, atol=1e-6)
    hard, plain = training.loss_of(0.0, classes), training.loss_of(0, classes)
    losses = -log_p[np.arange(5), y]
    for loss in (hard, plain):
        np.testing.assert_allclose(loss.value(jnp.array(z), jnp.array(y)), losses, rtol=1e-5)


@pytest.mark.full
def test_diverged_training_is_reported_and_does_not_affect_the_others():
    plan = make_plan(Options(learning_rate="0.1,1e30", optimizer="sgd", seed="0,1", width="3"))
    (group,) = training.groups_of(plan)
    trained = training.train(group, blobs(), optimizer="sgd", epochs=2, batch_size=24, callback=lambda report: None)
    assert [one.diverged_at is None for one in trained] == [True, True, False, False]
    assert all(np.isfinite(leaf).all() for one in trained for leaf in jax.tree.leaves(one.params))


# The ranking


def made(point, *measured):
    """Trainings of a point from seeds 0, 1, ...: a dev accuracy and a dev loss each, or a step of divergence."""
    return [
        Training(point, seed, None, 0.5, 9.0, float("nan"), one) if isinstance(one, int) else
        Training(point, seed, None, *one, 0.1, None)
        for seed, one in enumerate(measured)
    ]  # fmt: skip


def test_points_are_ranked_by_mean_accuracy_then_by_loss_and_diverged_ones_last():
    standings = rank(
        made(0, 3, 4)
        + made(1, (0.9, 1.0), (0.7, 1.0))
        + made(2, (0.99, 0.1), 7)
        + made(3, (0.8, 0.9), (0.8, 0.9))
        + made(4, (0.8, float("nan")), (0.8, 0.1))
        + made(5, (0.85, 3.0), (0.8, 3.0))
    )
    assert [standing.point for standing in standings] == [5, 3, 1, 4, 2, 0]
    assert [standing.diverged for standing in standings] == [0, 0, 0, 0, 1, 2]
    assert report.percents(standings[2]) == "80.00 (70.0-90.0)"
    assert report.percents(standings[-2]) == "99.00"
    assert report.percents(standings[-1]) == "diverged"
    assert [one.seed for one in standings[0].trainings] == [0, 1]


def test_equal_numbers_of_correct_predictions_tie_despite_rounding():
    shares = np.arange(7, dtype=np.float32) / 7
    for loss in (0.5, 2.0):
        a = made(0, *((float(shares[n]), 1.0) for n in (3, 3, 3)))
        b = made(1, *((float(shares[n]), loss) for n in (1, 2, 6)))
        assert np.mean([one.dev_score for one in a]) != np.mean([one.dev_score for one in b])
        assert rank(a + b)[0].point == (1 if loss < 1 else 0)


def test_within_the_noise_of_the_accuracy_the_loss_decides():
    """A lead of a quarter of a dev example, or within one standard error, is noise; a lead of an example is not."""
    n = 86
    lead = made(0, *[(82 / n, 0.8)] * 3, (83 / n, 0.8))
    close = made(1, *[(82 / n, 0.2)] * 4)
    behind = made(2, *[(81 / n, 0.1)] * 4)
    everything = lead + close + behind
    assert [one.point for one in rank(everything)] == [0, 1, 2]
    assert [one.point for one in rank(everything, n)] == [1, 0, 2]
    assert tied(rank(everything, n), n) == 2 and tied(rank(everything)) == tied(rank(behind, n), n) == 1
    assert [one.point for one in rank(made(0, (82 / n, 0.8)) + made(1, (81 / n, 0.1)), n)] == [0, 1]
    assert [one.point for one in rank(made(0, (82 / n, 0.8)) + made(1, (82 / n, 0.1)), n)] == [1, 0]
    # Of 4 and 10 misses the standard error is 3; with less spread, a mean that is 2 misses worse is worse.
    spread, steady = made(0, (82 / n, 0.8), (76 / n, 0.8)), made(0, (79 / n, 0.8), (79 / n, 0.8))
    other = made(1, (77 / n, 0.2), (77 / n, 0.2))
    assert [one.point for one in rank(spread + other, n)] == [1, 0]
    assert [one.point for one in rank(steady + other, n)] == [0, 1]


def test_diverged_point_is_never_first_within_noise():
    n = 86
    whole, part = made(0, (0.9, 0.8), (0.9, 0.8)), made(1, (0.9, 0.1), 7)
    assert [one.point for one in rank(part + whole, n)] == [0, 1]
    assert [one.point for one in rank(made(0, 1, 2) + part + made(2, 3, 4), n)] == [1, 0, 2]
    assert [one.point for one in rank(made(0, (0.9, float("nan"))) + made(1, (0.9, 3.0)), n)] == [1, 0]


def test_csv_has_a_line_for_every_training_in_order_of_rank():
    plan = make_plan(Options(learning_rate="0.1,0.2", hidden="8,8", seed="0,1"))
    text = report.to_csv(plan, rank(made(0, (0.5, 1.0), 3) + made(1, (0.7, 0.25), (0.75, 0.5))))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["rank"], row["learning_rate"], row["seed"]) for row in rows] == [
        *(("1", "0.2", "1"), ("1", "0.2", "0"), ("2", "0.1", "0"), ("2", "0.1", "1"))
    ]
    assert {row["hidden"] for row in rows} == {"8,8"}
    assert [row["dev_accuracy"] for row in rows] == ["0.75", "0.7", "0.5", ""]
    assert [row["diverged_at"] for row in rows] == ["", "", "", "3"]


# The pictures


def drawn(**options):
    """Draw a sweep with synthetic accuracies, every fifth point diverged; return colors (h, w, 3) and caption."""
    plan = make_plan(Options(**options))
    random = np.random.default_rng(0)
    trainings = []
    for i in range(len(plan.points)):
        accuracies = 1 - 0.3 * random.uniform(size=3) ** 2
        trainings += made(i, *([2] * 3 if i % 5 == 4 else [(accuracy, 0.1) for accuracy in accuracies]))
    picture = pictures.draw(plan, rank(trainings))
    return picture and (np.asarray(Image.open(io.BytesIO(picture[0])).convert("RGB")), picture[1])


@pytest.mark.representatives("options0-Dev accuracy by learning rate")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(), "Dev accuracy by learning rate"),
        (dict(learning_rate="0.1", activation="relu,tanh"), "Dev accuracy by activation"),
        (dict(learning_rate="1e-3..1:5", l2="0,0.1,1"), "learning rate and L2"),
        (dict(learning_rate="1e-3..1:30", width="1..40"), "width and learning rate"),
        (dict(learning_rate="1e-3..1", dropout="0..0.5", random=12), "learning rate and dropout"),
        (dict(learning_rate="0.1,0.2", l2="0,0.1", activation="relu,tanh"), "A line for each point"),
        (dict(learning_rate="1e-3..1", l2="0..0.1", activation="relu,tanh", random=12), "A line for each point"),
    ],
)
def test_each_sweep_has_its_picture_with_the_best_in_red(options, words):
    pixels, caption = drawn(**options)
    assert words in caption
    assert ("Gray: diverged." in caption) == (options != dict(learning_rate="0.1", activation="relu,tanh"))
    assert (pixels == (255, 0, 0)).all(axis=2).sum() > 50


def test_no_picture_if_nothing_was_swept():
    assert drawn(learning_rate="0.1") is None


def test_an_axis_is_written_briefly():
    short = [pictures._short(value) for value in (0.000268269, 1e-4, 0.0, 0.3, 128, 12345.6, "relu", 1e30)]
    assert short == ["2.7e-4", "1e-4", "0", "0.3", "128", "1.2e4", "relu", "1e30"]


# The command


class Watched(NamedTuple):
    """A data set that counts the accesses to its test set."""

    problem: Dataset
    asked: list

    def __getattr__(self, name):
        if name == "test":
            self.asked.append(name)
        return getattr(self.problem, name)


@pytest.fixture
def watched(monkeypatch):
    """The small problem instead of digits, with counted accesses."""
    problem = Watched(blobs(), [])
    monkeypatch.setattr(sweep, "load", lambda *args: problem)
    return problem


def test_sweep_writes_all_files_and_tests_only_the_best(watched, capsys, tmp_path, monkeypatch):
    classified = []
    decide = jaxnn.accuracy
    monkeypatch.setattr(jaxnn, "accuracy", lambda labels, y: classified.append(y) or decide(labels, y))
    argv = ["sweep", "digits", "--learning-rate", "0.01,0.1", "--seed", "0..1", "--width", "2,4", "--epochs", "3"]
    assert main.main([*argv, "--batch-size", "8", "--on-nan", "skip", "--runs-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("sweep-digits-")
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "metrics.jsonl", "report.txt", "report.html", "timings.txt"),
        *("sweep.csv", "sweep.png", "best.safetensors", "results.json"),
    }
    assert watched.asked == ["test"]
    assert sum(y is watched.problem.test.y for y in classified) == 1
    assert "trainings: 8 (points: 4, seeds: 2) in one program" in out
    assert "updates skipped because their loss or gradient was not finite: none" in out
    assert json.loads((folder / "config.json").read_text())["options"]["learning_rate"] == "0.01,0.1"
    assert [json.loads(line)["epoch"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert (folder / "report.txt").read_text().splitlines()[-1] in out

    rows = list(csv.DictReader(io.StringIO((folder / "sweep.csv").read_text())))
    assert json.loads((folder / "results.json").read_text())["trainings"] == rows
    means = {}
    for row in rows:
        means.setdefault(row["rank"], []).append(float(row["dev_accuracy"]))
    n = len(watched.problem.dev.y)
    noise = max(1 / n, *(np.std(values, ddof=1) / np.sqrt(len(values)) for values in means.values()))
    means = [np.mean(values) for values in means.values()]
    assert all(max(means[i:]) - means[i] <= noise for i in range(len(means)))
    assert f"within its noise, one of {n} dev examples" in out
    stored = storage.load(folder / "best.safetensors")
    problem, model = watched.problem, stored.spec.model()
    assert stored.spec.sizes == (4, int(rows[0]["width"]), 3)
    dev, test = (float(decide(model.predict(stored.params, part.x), part.y)) for part in (problem.dev, problem.test))
    assert dev == pytest.approx(float(rows[0]["dev_accuracy"]))
    assert f"dev accuracy {100 * dev:.2f} %: test accuracy {100 * test:.2f} %" in out


@pytest.mark.full
def test_run_fails_without_a_test_if_all_trainings_diverge(watched, capsys, tmp_path):
    argv = ["sweep", "digits", "--learning-rate", "1e29..1e30:2", "--optimizer", "sgd", "--epochs", "2"]
    assert main.main([*argv, "--seed", "0,1", "--batch-size", "24", "--runs-dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: every training diverged")
    assert ", the first at step " in captured.err and "overflowed first" in captured.err
    assert captured.err.count("\n") == 1
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.jsonl", "sweep.csv", "report.html"}
    assert all(row["diverged_at"] for row in csv.DictReader(io.StringIO((folder / "sweep.csv").read_text())))
    assert watched.asked == []


@pytest.mark.full
def test_sweep_on_photos_and_its_best_network_classifies(capsys, tmp_path, write_photos):
    photos, runs = write_photos(tmp_path / "data"), tmp_path / "runs"
    argv = ["sweep", "catvnoncat", "--depth", "0", "--learning-rate", "0.001", "--seed", "0", "--epochs", "1"]
    assert main.main([*argv, "--batch-size", "4", "--data-dir", str(photos), "--runs-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    assert not (folder / "sweep.png").exists()
    Image.new("RGB", (90, 90), "white").save(tmp_path / "white.png")
    assert main.main(["predict", str(folder), str(tmp_path / "white.png")]) == 0
    assert "cat with probability" in capsys.readouterr().out


def test_every_data_set_that_is_named_can_be_read(tmp_path, write_photos):
    write_photos(tmp_path)
    for part, m in (("train", 120), ("t10k", 20)):
        images = np.random.default_rng(m).integers(0, 256, (m, 28, 28), np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(m, dtype=np.uint8) % 10))
    rows = np.random.default_rng(0).normal(size=(60, 3))
    (tmp_path / "own.csv").write_text("a,b,c,y\n" + "".join(f"{a},{b},{c},{int(a > b)}\n" for a, b, c in rows))
    for name in DATA:
        own = dict(data=tmp_path / "own.csv", label="y") if name == "own" else {}
        plans = [Options(split_seed=split_seed, data_dir=tmp_path, **own) for split_seed in (0, 1)]
        problem, again = (data.load(name, plan) for plan in plans)
        parts = problem.train, problem.dev, problem.test
        assert len({part.x.shape[1] for part in parts}) == 1
        assert len(parts[0].y) > len(parts[1].y) > 0
        for part in parts:
            jaxnn.data.check_batch(part.x, part.y, classes=len(problem.classes))
        assert not set(map(bytes, parts[0].x)) & set(map(bytes, parts[1].x))
        assert (again.dev.x != problem.dev.x).any()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "",
            "sweep needs the name of a data set: there are breast-cancer, catvnoncat, digits, mnist, own",
        ),
        (
            "iris",
            "no data set is called 'iris': there are breast-cancer, catvnoncat, digits, mnist, own",
        ),
        ("digits --bogus", "--bogus"),
        ("digits --learning-rate", "--learning-rate"),
        ("digits --learning-rate fast", "--learning-rate 'fast': 'fast' is not a number"),
        ("digits --learning-rate -1", "--learning-rate '-1': -1 is out of bounds: expected positive numbers"),
        ("digits --learning-rate 1e-1..1e-4:8", "the range is empty"),
        ("digits --learning-rate 1e-4..1e-1", "how many values?"),
        ("digits --l2 log:0..1:3", "a log range cannot hold 0"),
        ("digits --dropout 1", "--dropout '1': 1 is out of bounds"),
        ("digits --label-smoothing 0..0.1:0", "--label-smoothing '0..0.1:0': '0' is not a count"),
        ("digits --seed 0..100000", "--seed '0..100000': 100001 values are too many"),
        (
            "digits --learning-rate 1e-4..1e-1:5000 --seed 0..3",
            "5000 points with 4 seeds are 20000 trainings, expected",
        ),
        ("digits --random 5000", "5000 points with 4 seeds are 20000 trainings, expected at most 10000"),
        ("digits --random 0", "--random must be from 1 to 10000 points, got 0"),
        ("digits --random many", "--random"),
        ("digits --random-seed -1", "--random-seed must be from 0"),
        ("digits --split-seed -1", "--split-seed must be from 0"),
        ("digits --epochs 0", "--epochs must be at least 1, got 0"),
        ("digits --batch-size 0", "--batch-size must be at least 1, got 0"),
        ("digits --batch-size 100000", "--batch-size must be from 1 to 1258, the size of the training set, got 100000"),
        ("digits --optimizer foo", "unknown optimizer 'foo': expected one of adagrad, adam"),
        ("digits --momentum 0.5", "--momentum must be used with --optimizer momentum, got --optimizer adam"),
        ("digits --activation relu,foo", "unknown activation 'foo': expected one of"),
        ("digits --activation relu,relu", "relu is there twice"),
        ("digits --hidden 64,x", "--hidden '64,x': 'x' is not an integer"),
        ("digits --hidden 64 --width 8", "--hidden must be used without --width and --depth"),
        ("digits --hidden 64 --depth 2", "--hidden must be used without --width and --depth"),
        ("digits --depth 0..1 --width 4,8", "--depth must be at least 1 if width is swept, got 0"),
        ("catvnoncat --data-dir nowhere", "no folder has both train_catvnoncat.h5"),
    ],
)
def test_bad_arguments_are_one_line_and_leave_nothing(capsys, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    assert main.main(["sweep", *command.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("argv", "named"), [(["--help"], list(DATA)), (["digits", "--help"], ["digits: 1797 images"])])
def test_help_explains_ranges_and_options(capsys, argv, named):
    assert main.main(["sweep", *argv]) == 0
    out = capsys.readouterr().out
    for word in (*named, "A RANGE is", "1e-4..1e-1:8", "--random N", "--label-smoothing", "--no-compilation-cache"):
        assert word in out
