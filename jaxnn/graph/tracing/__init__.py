"""Evaluate a function operation by operation: its variables, their values and their derivatives."""
