"""Readers of files that may come from strangers: nothing in them runs, and what is odd in them raises one error."""
