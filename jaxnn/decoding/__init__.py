"""Decoding: from the outputs of a network over time to labels."""

from jaxnn.decoding.alignments import Beam, ctc_beam, ctc_greedy

__all__ = ["Beam", "ctc_beam", "ctc_greedy"]
