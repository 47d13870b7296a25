"""Optimizers and schedules of optax by name, and what jaxnn adds around them."""
