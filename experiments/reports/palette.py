"""The colors of lines on pages: as matplotlib draws them, in light mode and in dark mode.

Those on a page have a contrast of at least 3 with it, in both modes.
"""

_DRAWN = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
_LIGHT = "#2f7fc9 #b87400 #bd1f01 #6f807e #832db6 #a0614f #d05900 #847833 #5f6370 #2a8f94"
_DARK = "#5aa9ee #ffb733 #ff7a63 #a9b8b6 #c58aef #cf9684 #ff8f45 #cdc183 #a2a7b5 #92dadd"
PALETTE = tuple(zip(_DRAWN.split(), _LIGHT.split(), _DARK.split(), strict=True))
"""(color of `jaxnn.plots`, in light mode, in dark mode), in the order in which lines have them."""
