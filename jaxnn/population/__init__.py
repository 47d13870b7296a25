"""Many trainings in one program."""
