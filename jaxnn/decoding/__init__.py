"""Decoding: sequences of tokens from a network that predicts the next one."""

from jaxnn.decoding.beams import beam_search
from jaxnn.decoding.sampling import greedy, sample
from jaxnn.decoding.steps import Decoded, Step, read, step_of

__all__ = ["Decoded", "Step", "beam_search", "greedy", "read", "sample", "step_of"]
