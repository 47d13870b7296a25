"""Networks: their specification, files of params, predictions and activations."""
