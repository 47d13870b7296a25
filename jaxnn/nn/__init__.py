"""What a network is made of: layers, and the combinators that make layers of layers.

Each file names in `__all__` what it adds, and ends with its CASES, on which the proofs of all layers run.
"""
# ruff: noqa: F403

from types import ModuleType as _ModuleType

from jaxnn.nn.activations import *
from jaxnn.nn.alignments import *
from jaxnn.nn.attention import *
from jaxnn.nn.attention_in_blocks import *
from jaxnn.nn.attention_with_heads import *
from jaxnn.nn.batch_normalization import *
from jaxnn.nn.branches import *
from jaxnn.nn.carrying import *
from jaxnn.nn.cells import *
from jaxnn.nn.composition import *
from jaxnn.nn.convolution import *
from jaxnn.nn.custom_gradients import *
from jaxnn.nn.decoders import *
from jaxnn.nn.directions import *
from jaxnn.nn.embeddings import *
from jaxnn.nn.freezing import *
from jaxnn.nn.from_functions import *
from jaxnn.nn.global_pooling import *
from jaxnn.nn.group_normalization import *
from jaxnn.nn.gru_cells import *
from jaxnn.nn.initializers import *
from jaxnn.nn.layer import *
from jaxnn.nn.linear import *
from jaxnn.nn.lstm_cells import *
from jaxnn.nn.normalization import *
from jaxnn.nn.padding import *
from jaxnn.nn.pooling import *
from jaxnn.nn.position_encodings import *
from jaxnn.nn.probabilities import *
from jaxnn.nn.rearranging import *
from jaxnn.nn.rectifiers import *
from jaxnn.nn.recurrence import *
from jaxnn.nn.repetition import *
from jaxnn.nn.rescaling import *
from jaxnn.nn.reshaping import *
from jaxnn.nn.selection import *
from jaxnn.nn.shapes import *
from jaxnn.nn.simple_cells import *
from jaxnn.nn.stepwise import *
from jaxnn.nn.stochastic import *
from jaxnn.nn.summaries import *
from jaxnn.nn.transformers import *
from jaxnn.nn.transforms import *
from jaxnn.nn.transposed_convolution import *
from jaxnn.nn.tying import *
from jaxnn.nn.upsampling import *
from jaxnn.sequences import *

_NEEDS_STATE = {
    "spectral_norm": "divide W by an estimate of its largest singular value in an objective's regularizer",
    "batch_renorm": "batch_norm trains on the statistics of the batch alone, group_norm and layer_norm on none",
}


def __getattr__(name: str) -> object:
    """Raise AttributeError, for layers that other libraries have with the reason why they are not here."""
    if name in _NEEDS_STATE:
        raise AttributeError(
            f"jaxnn.nn has no {name}: its forward in training would need a state that training itself updates, and a "
            f"jaxnn layer is a pure function of params, x and a key; {_NEEDS_STATE[name]}"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# The files' own names are modules here, and no part of what is public. Type checkers, which run no loop, take the names
# of the stars as exported.
__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    (name for name, a in globals().items() if not (name.startswith("_") or isinstance(a, _ModuleType))),
    key=lambda name: (not name.isupper(), name),
)
