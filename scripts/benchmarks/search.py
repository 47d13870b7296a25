"""scripts/bench search: PopulationSearchCV beside GridSearchCV over scikit-learn's MLPClassifier.

The same grid, folds and parameters; each from the start of its `fit` to its end, so with compilation and with the
refit, in this process and in the workers of `n_jobs` processes. JAX keeps no compiled programs between runs.
"""

import argparse
import os
import time
import warnings

import jax
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier as OfScikitLearn

from jaxnn.sklearn import MLPClassifier, PopulationSearchCV

GRID = {
    "learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2],
    "alpha": [1e-4, 1e-2, 1e-1, 1.0],
    "hidden_layer_sizes": [(8,), (12,), (16,), (24,)],
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench search", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes of GridSearchCV")
    parser.add_argument("--epochs", type=int, default=100, help="the most epochs of each training, max_iter")
    parser.add_argument("--batch-size", type=int, default=16, help="examples of a batch")
    options = parser.parse_args(argv)
    if min(options.jobs, options.epochs, options.batch_size) < 1:
        parser.error("--jobs, --epochs and --batch-size must be at least 1")
    # What has not converged is counted by neither side.
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    jax.config.update("jax_enable_compilation_cache", False)
    x, y = load_digits(return_X_y=True)
    x = x / 16
    common = dict(max_iter=options.epochs, batch_size=options.batch_size, random_state=0)
    searches = {
        "jaxnn": PopulationSearchCV(MLPClassifier(dtype="float32", **common), GRID, cv=5),
        "scikit-learn": GridSearchCV(OfScikitLearn(**common), GRID, cv=5, n_jobs=options.jobs),
    }
    print(f"64 candidates x 5 folds of {len(x)} digits, batch {options.batch_size}, at most {options.epochs} epochs")
    seconds = {}
    for name, search in searches.items():
        start = time.perf_counter()
        search.fit(x, y)
        seconds[name] = time.perf_counter() - start
        score = f"{search.best_score_:.4f} ± {search.cv_results_['std_test_score'][search.best_index_]:.4f}"
        print(f"  {name:12}  {seconds[name]:7.1f} s  accuracy of the winner {score}  {search.best_params_}")
    ours, theirs = (search.cv_results_["mean_test_score"] for search in searches.values())
    winner = searches["jaxnn"].best_index_
    print(f"  the winner of jaxnn has accuracy {theirs[winner]:.4f} in scikit-learn, whose best is {theirs.max():.4f}")
    print(f"  correlation of the 64 mean accuracies: {np.corrcoef(ours, theirs)[0, 1]:.3f}")
    print(f"  factor {seconds['scikit-learn'] / seconds['jaxnn']:.1f}")
    return 0
