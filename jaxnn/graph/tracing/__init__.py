"""A function run operation by operation: its variables, their values and their derivatives."""
