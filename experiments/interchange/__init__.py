"""Exchange trained networks with other libraries, by files that hold numbers and run nothing.

`formats.py` is the table of formats, and each format is a file beside it. In every format, an exported network takes
raw inputs unless others are requested: a network that was trained on standardized inputs has the standardization in its
first layer. `agreement.py` measures what that costs in float32.
"""
