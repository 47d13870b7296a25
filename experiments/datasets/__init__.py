"""Data sets: a user's files as columns and classes, and where public ones are."""
