"""A graph as text, picture and page."""
