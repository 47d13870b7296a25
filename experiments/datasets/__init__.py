"""Data sets: a user's own files as columns and classes, and where public ones lie."""
