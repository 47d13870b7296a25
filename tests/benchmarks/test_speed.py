"""The speed benchmark: the check of losses, the entries that run on any machine, the table."""

import json
from functools import partial

import jax
import numpy as np
import pytest

import jaxnn
from scripts.benchmarks.speed import entry, measure, networks
from scripts.benchmarks.speed.peers import devices, jaxnn_fit
from scripts.benchmarks.speed.peers.images import raw as raw_images
from scripts.benchmarks.speed.peers.initial import arrays, stacked
from scripts.benchmarks.speed.roofline import Limits, share
from scripts.benchmarks.speed.workloads import WORKLOADS, Population, load, losses_of, mean_loss, prepare, shortfall

TINY, POPULATION = WORKLOADS["tiny"], WORKLOADS["population"]
# The networks for images on few pixels; the sizes of the residual network are odd after the first stage.
FEW_PIXELS = {"lenet": (12, 12, 1, 3), "small-resnet": (6, 6, 2, 3)}
IMAGES = {
    name: WORKLOADS[name]._replace(sizes=sizes, batch=16, laps=2, steps=10, target=0.5, rate=3e-3)
    for name, sizes in FEW_PIXELS.items()
}


@pytest.mark.full
@pytest.mark.parametrize("name", ["tiny", "mnist", "course", "deep-64"])
def test_mean_loss_agrees_with_jaxnn(name):
    workload = WORKLOADS[name]
    model = jaxnn.mlp(workload.sizes, workload.activation, output=workload.output, scan=workload.scan)
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, workload.sizes[0])).astype(np.float32)
    y = rng.integers(0, 2, 8).astype(np.int32)
    value = jaxnn.objective(model.network, model.loss).evaluate(params, (), jaxnn.Batch(x, y))
    arrays = [np.asarray(a) for a in jaxnn.models.params_to_arrays(model.network, params)]
    np.testing.assert_allclose(mean_loss(workload, arrays, x, y), value, rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", IMAGES)
def test_mean_loss_of_images_agrees_with_jaxnn_and_raw_jax(name, quick_compilation, no_rank_promotion_rule):
    """NumPy, jaxnn and JAX by hand have one network: the same params give the same loss, with odd numbers of places."""
    workload = IMAGES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *workload.sizes[:3])).astype(np.float32)
    y = rng.integers(0, 3, 8).astype(np.int32)
    params = [a + rng.normal(size=a.shape).astype(np.float32) / 9 for a in arrays(workload)]
    model, objective = jaxnn_fit._model(workload, np.float32)
    tree = jaxnn.models.params_from_arrays(model.network, workload.sizes[:3], params)
    loss = mean_loss(workload, params, x, y)
    np.testing.assert_allclose(objective.value(tree, jaxnn.Batch(x, y))[0], loss, rtol=1e-4)
    z, moments = jax.jit(raw_images.forward(workload))(params, x)
    np.testing.assert_allclose(z, networks.outputs(workload.network, params, x), rtol=1e-3, atol=1e-4)
    assert len(moments) == sum(layer.normalized for layer in networks.weights(workload.network, workload.sizes))
    with pytest.raises(ValueError, match=r"layer 1 has weights of shape"):
        mean_loss(workload, [params[0].T, *params[1:]], x, y)


def test_weights_of_networks_count_each_place():
    """LeNet-5 has 61706 params, and 2 x 416520 operations for an example: those of its two convolutions and three
    dense layers. The residual network has those of `jaxnn.models.resnet`."""
    of_lenet, of_resnet = (networks.weights(w.network, w.sizes) for w in map(WORKLOADS.get, FEW_PIXELS))
    assert sum(np.prod(shape) for layer in of_lenet for shape in layer.shapes) == 61706
    expected = 28 * 28 * 150 + 10 * 10 * 2400 + 400 * 120 + 120 * 84 + 84 * 10
    assert sum(layer.size * layer.places for layer in of_lenet) == expected == 416520
    model = jaxnn.models.resnet(blocks=(1, 1, 1))
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert sum(np.prod(shape) for layer in of_resnet for shape in layer.shapes) == sum(
        leaf.size for leaf in jax.tree.leaves(params)
    )


@pytest.mark.full
@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("module", ["jaxnn_fit", "jaxnn_auto", "raw", "with_flax", "with_keras"])
def test_entries_reach_the_loss_of_images(module, name, quick_compilation, no_rank_promotion_rule):
    """A short training of each library that the tests have reaches the loss, which NumPy computes of its arrays."""
    workload, laps = IMAGES[name], []
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 160).astype(np.int32)
    x = rng.normal(size=(3, *workload.sizes[:3]))[y] + 0.3 * rng.normal(size=(160, *workload.sizes[:3]))
    peer = __import__(f"scripts.benchmarks.speed.peers.{module}", fromlist=["train"])
    assert workload.network in peer.NETWORKS
    trained = peer.train(workload, x.astype(np.float32), y, lambda: laps.append(1))
    assert len(laps) == 2
    losses = losses_of(workload, trained, x.astype(np.float32), y)
    assert shortfall(workload, losses) is None, losses
    assert shortfall(workload, losses_of(workload, arrays(workload), x.astype(np.float32), y)) is not None


def test_entry_without_the_network_is_reported(capsys):
    entry.main("with_numpy", "lenet", "nowhere")
    assert json.loads(capsys.readouterr().out) == {"none": "no such network"}


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in ("mnist", "lenet")])  # too large for a test
def test_data_have_the_shapes_of_the_workload(name, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNN_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    workload = WORKLOADS[name]
    real = prepare(workload, tmp_path)
    x, y = load(tmp_path)
    assert real == (workload.data not in ("cats", "mnist"))  # made ones stand in where there are no files
    assert x.shape[1:] == networks.in_shape(workload.network, workload.sizes)
    assert len(x) == len(y) and x.dtype == (np.int32 if workload.data.startswith("text") else np.float32)
    assert workload.batch is None or workload.steps * workload.batch % len(y) == 0  # whole epochs
    assert y.min() >= 0 and y.max() < max(2, workload.sizes[-1])


@pytest.mark.representatives("logistic", "tiny")
@pytest.mark.parametrize("name", [name for name in WORKLOADS if name not in ("mnist", "population", "lenet")])
def test_untrained_networks_do_not_reach_the_targets(name, tmp_path):
    workload = WORKLOADS[name]
    prepare(workload, tmp_path)
    classes = max(2, workload.sizes[-1])
    assert workload.target < np.log(classes)
    assert mean_loss(workload, arrays(workload), *load(tmp_path)) > workload.target


@pytest.mark.representatives("raw", "with_numpy", "with_sklearn")
@pytest.mark.parametrize(
    "module", ["jaxnn_fit", "jaxnn_auto", "jaxnn_bfloat16", "raw", "with_numpy", "with_stax", "with_sklearn"]
)
def test_entries_reach_the_loss(module, tmp_path, no_rank_promotion_rule):
    """A short training of each entry reaches the loss, and calls `lap` for every lap."""
    prepare(TINY, tmp_path)
    x, y = load(tmp_path)
    short, laps = TINY._replace(laps=3, steps=320), []
    peer = __import__(f"scripts.benchmarks.speed.peers.{module}", fromlist=["train"])
    trained = peer.train(short, x, y, lambda: laps.append(1))
    assert len(laps) == 3
    assert mean_loss(short, trained, x, y) < 0.5


# Four networks, in two laps of five epochs: the slow rate hardly learns, the fast one does.
FEW = POPULATION._replace(laps=2, population=Population((1e-5, 1e-2), 2, (2.5, 0.06)), target=1.5)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    prepare(POPULATION, folder)
    return load(folder)


@pytest.mark.full
@pytest.mark.parametrize(
    "module",
    [
        "jaxnn_fit",
        "raw",
        "raw_own_batches",
        "with_numpy",
        "numpy_loop",
        "with_stax",
        "sklearn_loop",
    ],
)
def test_populations_learn_each_member_at_its_own_rate(module, digits, no_rank_promotion_rule, monkeypatch):
    monkeypatch.setattr(devices.os, "cpu_count", lambda: 1)  # since JAX has counted its devices in this process
    peer, laps = __import__(f"scripts.benchmarks.speed.peers.{module}", fromlist=["population"]), []
    trained = peer.population(FEW, *digits, lambda: laps.append(1))
    assert len(laps) == 2
    losses = losses_of(FEW, trained, *digits)
    assert shortfall(FEW, losses) is None, losses


def test_numpy_in_parallel_equals_numpy_one_by_one(digits):
    """Independent implementations with the same seeds and batches give the same weights, up to rounding."""
    side_by_side, loop = (
        __import__(f"scripts.benchmarks.speed.peers.{module}", fromlist=["population"]).population(
            FEW._replace(steps=28), *digits, lambda: None
        )
        for module in ("with_numpy", "numpy_loop")
    )
    for a, b in zip(side_by_side, loop, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_shortfall_of_populations(digits):
    """Each possible mistake of an entry is found, and correct losses pass."""
    rates, right = POPULATION.population.losses, np.repeat(POPULATION.population.losses, 8)
    right = (right * np.tile(np.linspace(0.9, 1.1, 8), 8)).tolist()
    assert shortfall(POPULATION, right) is None
    untrained = losses_of(POPULATION, stacked(POPULATION), *digits)
    assert len(untrained) == 64 and min(untrained) > 2
    assert shortfall(POPULATION, untrained).startswith("reached a loss of")
    assert "0.00032" in shortfall(POPULATION, untrained[:8] + right[8:])  # members left as they were
    assert "0.00032" in shortfall(POPULATION, right[56:] + right[:56])  # rates given to other members
    assert "are the same" in shortfall(POPULATION, right[:1] * 2 + right[2:])  # seeds that do nothing
    assert "are the same" not in shortfall(POPULATION, [rates[-1] * s for s in np.linspace(0.9, 1.1, 64)])
    assert "expected 0.12" in shortfall(POPULATION, [np.nan] * 64)
    with pytest.raises(ValueError, match=r"of 64 members, got \[1\]"):
        losses_of(POPULATION, [a[:1] for a in stacked(POPULATION)], *digits)
    with pytest.raises(ValueError, match="layer 1"):
        losses_of(POPULATION, [a.swapaxes(1, -1) for a in stacked(POPULATION)], *digits)


@pytest.mark.full
def test_entry_runs_in_a_separate_process_and_its_loss_is_checked(tmp_path):
    prepare(TINY, tmp_path)
    run = measure.run("NumPy", TINY, "tiny", tmp_path, timeout=100)
    assert run.whole > TINY.laps * (TINY.steps - 1) * run.step * 0.5
    assert run.loss <= TINY.target and run.peak > 2**20
    said = measure.run("NumPy", TINY._replace(target=0.0), "tiny", tmp_path, timeout=100)
    assert said.startswith("reached a loss of")
    assert measure.run("NumPy loop", TINY, "tiny", tmp_path, timeout=100) == "trains populations only"


def test_entry_without_populations_is_reported(capsys):
    entry.main("batches", "population", "nowhere")
    assert json.loads(capsys.readouterr().out) == {"none": "no population entry"}


def test_missing_package_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(measure.ENTRIES, "nothing", ("nothing", "no_such_package"))
    assert measure.run("nothing", TINY, "tiny", tmp_path, timeout=1) == "not installed"
    monkeypatch.setitem(measure.ENTRIES, "broken", ("no_such_module", "numpy"))
    assert measure.run("broken", TINY, "tiny", tmp_path, timeout=60).startswith("failed: ModuleNotFoundError")
    assert "not done after" in measure.run("NumPy", TINY, "tiny", tmp_path, timeout=0.01)


def test_table_has_ratios_to_the_fastest():
    fast, slow = measure.Run(1.0, 0.1, 0.001, 2**20, 0.1), measure.Run(2.0, 0.2, 0.003, 2**21, 0.1)
    text = measure.table("tiny", {"a": fast, "b": slow, "c": "not installed"}, True, Limits(1e9, 1e9, 1e9))
    lines = {line.split()[0]: line.split() for line in text.splitlines()[2:]}
    assert lines["a"][3] == "1.00" and lines["b"][3] == "2.00"
    assert "3.00" in lines["b"] and lines["c"][1:] == ["not", "installed"]
    against = measure.table("tiny", {"a": fast, "b": slow}, True, Limits(1e9, 1e9, 1e9), "b")
    assert "0.50" in against and "0.33" in against
    assert measure.medians([fast, slow, slow]) == slow
    assert measure.medians([fast, "failed"]) == "failed"


def test_table_of_a_gpu_has_the_device_of_each_entry():
    gpu = Limits(1e12, 1e12, 1e12, 2e12, "a GPU")
    found = {
        "JAX": measure.Run(1.0, 0.1, 0.001, 2**20, 0.1, 5 * 2**20, "a GPU"),
        "NumPy": measure.Run(2.0, 0.2, 0.003, 2**21, 0.1),
        "jaxnn bfloat16": measure.Run(1.0, 0.1, 0.0005, 2**20, 0.1, 3 * 2**20, "a GPU"),
    }
    text = measure.table("wide", found, True, gpu)
    lines = {line.split()[0]: line for line in text.splitlines()[2:]}
    assert lines["JAX"].endswith("5 MB") and lines["NumPy"].endswith("on the CPU")
    # Each precision against its own rate: 94.5e9 operations in 94 and 47 ms.
    assert text.count("minimum of a step") == 2 and "94.4893 ms" in text and "47.2446 ms" in text
    assert "a GPU, 1 TFLOP/s" in str(gpu) and "2 TFLOP/s in bfloat16" in str(gpu)
    assert "bfloat16" not in measure.table("wide", found, True, Limits(1e12, 1e12, 1e12)).splitlines()[-1]


def test_without_a_gpu_nothing_is_measured(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "_result_of", lambda *_: "no such backend")
    assert measure.main(["--platform", "cuda", "--workload", "tiny", "--json", str(tmp_path / "runs.json")]) == 1
    out = capsys.readouterr().out
    assert out.startswith("JAX finds no GPU") and out.count(measure.NO_GPU) == len(measure.PEERS) + 1
    assert json.loads((tmp_path / "runs.json").read_text())["runs"]["tiny"]["jaxnn bfloat16"] == [measure.NO_GPU]
    with pytest.raises(RuntimeError, match="no such backend"):
        measure.limits("cpu")


def test_library_without_gpu_is_reported_as_not_measured(monkeypatch):
    measured = dict(started=0, laps=[1, 2], done=3, peak=1, losses=[0.1], device="cpu", device_peak=0)
    monkeypatch.setattr(measure, "_result_of", lambda *_: measured)
    run = partial(measure.run, workload=TINY._replace(laps=2), name="tiny", folder=None, timeout=1, platform="cuda")
    assert run("jaxnn hand").startswith("not measured")
    assert run("NumPy").device == "cpu"


def test_floor_counts_the_products():
    """Full batch logistic regression: two products of 2 m n operations; reading is the larger need."""
    text = share(WORKLOADS["logistic"], Limits(1e12, 1e9, 1e9), 0.1)
    assert "1e+07 operations" in text and "by reading" in text
    # 128 examples, 416520 products, and none for the input of the first 117600: 2 * 128 * (3 * 416520 - 117600)
    assert "2.9e+08 operations" in share(WORKLOADS["lenet"], Limits(1e12, 1e9, 1e9), 0.1)
    # 64 members, 64 examples: 2 * 64 * 64 * (2 * 64 * 32 + 3 * 32 * 10) operations
    assert "4.1e+07 operations" in share(POPULATION, Limits(1e12, 1e9, 1e9), 0.1)


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--peer", "Nobody"], ["--workload", "none"]])
def test_invalid_options_are_rejected(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        measure.main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err
