"""Values that record the call that made them."""
