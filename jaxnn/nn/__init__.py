"""What a network is made of: layers, and the combinators that make layers of layers."""
