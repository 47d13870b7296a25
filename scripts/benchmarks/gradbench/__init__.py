"""Right and wrong manual gradients, as people write them: the bench that gradient checkers are measured on."""
