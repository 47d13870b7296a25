"""A graph as an interactive page in one HTML file."""
