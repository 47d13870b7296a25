"""Right and wrong hand gradients, as people write them: the bench on which gradient checkers are measured."""
