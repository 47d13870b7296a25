"""Source lines of equations in the caller's code."""

from typing import Any

import jax

_LIBRARIES = (jax.__file__.rsplit("__init__", 1)[0], __file__.rsplit("tracing", 1)[0])


def find_source(equation: Any) -> str:
    """Return file:line of the innermost frame outside of JAX and this package; empty if there is no such frame.

    Equations of a JAX function that was traced before have the frames of its first caller, or none.
    """
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith((*_LIBRARIES, "<")):
            return f"{frame.file_name}:{frame.line_num}"
    return ""
