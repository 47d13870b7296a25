"""Networks as data: how they are rebuilt, files of their params, their predictions, and their activations."""
