"""Training: objective, step, epoch, and whole trainings from arrays and from streams."""
