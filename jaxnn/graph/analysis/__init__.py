"""What a graph is asked: its layers, the first number that is not finite, how gradients flow."""
