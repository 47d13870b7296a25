"""Weights that travel: a trained network to other libraries and back, by files that hold numbers and run nothing.

`formats.py` is the table of formats, and each format is a file beside it. In every format, what comes out takes raw
inputs unless others are asked for: a network that was trained on standardised inputs has the standardisation in its
first layer. `agreement.py` measures what that costs in float32.
"""
