"""Tracebacks of the user's code alone, without the frames of the checker and of JAX around it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from jaxnn.gradcheck.problem import GradcheckError
from jaxnn.gradcheck.source_lines import is_users


def shortened(error: GradcheckError) -> GradcheckError:
    """Return an error without its traceback; its cause is the exception that the user's function raised, if any."""
    error.__cause__ = _users_exception(error.__cause__)
    error.__suppress_context__ = True
    return error.with_traceback(None)


def _users_exception(error: BaseException | None) -> BaseException | None:
    """Return the first exception in a chain of causes that passed through the user's code, from there on."""
    while error is not None:
        frames = _from_users_code(error.__traceback__)
        if frames is not None:
            _cut_context(error)
            return error.with_traceback(frames)
        error = error.__cause__
    return None


def _cut_context(error: BaseException) -> None:
    """Leave out the exceptions before this one that the checker caught, as it ran the same code in another way."""
    while error.__context__ is not None:
        traceback = error.__context__.__traceback__
        if traceback is None or not is_users(traceback.tb_frame.f_code.co_filename):
            error.__context__ = None
            return
        error = error.__context__


def _from_users_code(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback from the first frame of the user's code on; `None` if there is no such frame."""
    while traceback is not None and not is_users(traceback.tb_frame.f_code.co_filename):
        traceback = traceback.tb_next
    return traceback


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Log nothing under this name: JAX logs each failure of a callback, which a check tries at many arguments."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
