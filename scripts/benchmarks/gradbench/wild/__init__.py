"""Right gradients in the style of public code, each family in its own file."""
