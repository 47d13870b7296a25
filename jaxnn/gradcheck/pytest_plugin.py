"""The `gradcheck` fixture for pytest: the functions of `jaxnn.gradcheck`, which fail the test with their report.

pytest loads this plugin in every environment with jaxnn; jaxnn itself is imported when a test uses the fixture.
"""

from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest

_CHECKS = ("gradient", "vjp", "rule", "custom", "layer", "loss", "regularizer")


@pytest.fixture(scope="session")
def gradcheck() -> Any:
    """Return the checks of `jaxnn.gradcheck`, such as `gradcheck.vjp(f, backward, x)`: a failed one fails the test."""
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
