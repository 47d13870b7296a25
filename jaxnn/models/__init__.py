"""Networks with their losses, and params in and out."""
