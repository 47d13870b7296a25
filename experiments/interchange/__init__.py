"""Exchange trained networks with other libraries, by files of numbers without code.

`formats.py` is the table of formats, with one module per format, which has a table of layers. What all share is the
layers of a network one after another, each with its arrays (`layers.py`): an export writes them, an import fills them
(`matching.py`). By default an exported network takes raw inputs: if it was trained on standardized inputs, the
standardization becomes a part of its layers. `agreement.py` measures the rounding error of that in float32.
"""
