"""A graph as a text table, a picture, a page, and for Graphviz and networkx."""
