"""A run that only logs, for what listens to its metrics."""

import pytest

from experiments.cli import main


@pytest.fixture
def logging_run(monkeypatch, tmp_path, write_photos):
    """`logging_run(*more)`: catvnoncat with a training that only logs, then interrupted; returns the exit status."""

    def train(name, training, photos, folder, show):
        folder.log(network=name, iteration=100, cost=0.5, seeds_median=float("nan"))
        folder.log(network=name, iteration=200, cost=0.25, seeds_median=0.125)
        folder.log(network=name, diverged_at=201, cost=9.0)
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.studies.catvnoncat.run._train", train)
    data = str(write_photos(tmp_path / "data"))
    argv = ["run", "catvnoncat", "--data-dir", data, "--runs-dir", str(tmp_path / "runs")]
    monkeypatch.chdir(tmp_path)
    return lambda *more: main.main([*argv, *more])
