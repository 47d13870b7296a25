"""Exchange trained networks with other libraries, by files of numbers without code.

`formats.py` is the table of formats, with one module per format. By default an exported network takes raw inputs: if it
was trained on standardized inputs, the standardization is folded into its first layer. `agreement.py` measures the
rounding error of that in float32.
"""
