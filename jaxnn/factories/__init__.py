"""Values that know the call that made them."""
