"""The `gradcheck` fixture for pytest: the functions of `jaxnn.gradcheck`, each failing the test with its report.

Installed with jaxnn, it is there in every test suite of the environment; nothing is imported until a test asks for it.
"""

from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest

_CHECKS = ("gradient", "vjp", "custom_vjp_pair", "custom_rule", "layer", "loss", "regularizer")


@pytest.fixture(scope="session")
def gradcheck() -> Any:
    """`gradcheck.vjp(f, backward, x)` and its siblings, on arrays of any shapes: a wrong gradient fails the test."""
    from jaxnn import gradcheck as checks

    def failing(name):
        check = getattr(checks, name)

        @wraps(check)
        def checked(*args, **options):
            __tracebackhide__ = True
            report = check(*args, **options)
            if not report.passed:
                pytest.fail(str(report), pytrace=False)
            return report

        return checked

    return SimpleNamespace(**{name: failing(name) for name in _CHECKS})
