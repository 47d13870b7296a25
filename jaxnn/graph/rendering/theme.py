"""The colors of pictures and pages, as CSS variables, for light and for dark backgrounds."""

LIGHT = "--ink: #1b1f24; --line: #8a929c; --box: #eef1f5; --page: #ffffff; --value: #0b57b0; --slope: #b3261e;"
DARK = "--ink: #e6e9ee; --line: #7b8490; --box: #262c34; --page: #12161b; --value: #86b7ff; --slope: #ff9b8e;"
