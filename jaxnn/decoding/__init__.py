"""Decoding: from the outputs of a network over time to labels, and sequences of tokens one after another."""

from jaxnn.decoding.alignments import Beam, ctc_beam, ctc_greedy
from jaxnn.decoding.beams import beam_search
from jaxnn.decoding.sampling import greedy, sample
from jaxnn.decoding.steps import Decoded, Step, read, step_of

__all__ = ["Beam", "Decoded", "Step", "beam_search", "ctc_beam", "ctc_greedy", "greedy", "read", "sample", "step_of"]
