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
    """Return the checks of `jaxnn.gradcheck`, such as `gradcheck.vjp(f, backward, x)`.

    A gradient that is wrong or undecided raises `WrongGradientError`, an AssertionError, with the report as its
    message. Tracebacks show the test, and not the checker.
    """
    from jaxnn import gradcheck as checks

    def failing(name):
        check = getattr(checks, name)

        @wraps(check)
        def checked(*args, **options):
            __tracebackhide__ = True
            try:
                report = check(*args, **options)
            except checks.GradcheckError as error:
                raise error.with_traceback(None) from error.__cause__
            return report.raise_if_failed()

        return checked

    return SimpleNamespace(**{name: failing(name) for name in _CHECKS})
