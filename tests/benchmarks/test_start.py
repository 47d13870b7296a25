"""The start benchmark: its table, its environment, and the report of a failed run."""

import os

import pytest

from scripts.benchmarks import start


def test_table_has_ratios_to_the_run_without_a_cache():
    runs = {"none": start.Run(2.0, 10.0), "empty": start.Run(2.2, 11.0), "filled": start.Run(1.0, 4.0)}
    _, none, empty, filled, missing = start.table({"ladder": runs, "catvnoncat": "error: no data"}).splitlines()
    assert none.split()[-7:] == ["none", "2.00", "s", "1.00", "10.00", "s", "1.00"]
    assert empty.split()[-7:] == ["empty", "2.20", "s", "1.10", "11.00", "s", "1.10"]
    assert filled.split()[-7:] == ["filled", "1.00", "s", "0.50", "4.00", "s", "0.40"]
    assert missing.endswith("error: no data")


def test_failed_run_is_reported_with_the_reason(tmp_path):
    assert "--bogus" in start.run("ladder", tmp_path, "--bogus")


def test_settings_of_jax_s_own_cache_do_not_reach_the_runs(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert {name for name in os.environ if name not in start._environment()} >= {
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_ENABLE_COMPILATION_CACHE",
    }
    assert start._environment()["JAX_PLATFORMS"] == "cpu"


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--experiment", "none"]])
def test_invalid_options_are_rejected(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        start.main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err
