"""Short runs of experiments, and the files that each must write."""

import contextlib
import io

from experiments.cli import main


def run(runs, *argv):
    """Run an experiment with these arguments: its folder, the only one in `runs`, and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main.main(["run", *argv, "--runs-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    return folder, out.getvalue()


def assert_holds_everything(done, picture):
    """A run of one picture leaves that, and a report that is what was printed."""
    folder, out = done
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "report.txt", "report.html", "results.json", "timings.txt", picture),
    }
    assert (folder / "report.txt").read_text().strip() in "\n".join(line.rstrip() for line in out.splitlines())
    assert (folder / picture).read_bytes().startswith(b"\x89PNG")
