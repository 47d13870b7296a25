"""Data sets: a user's files as columns and classes, and the locations of public ones."""
