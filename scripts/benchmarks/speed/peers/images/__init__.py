"""The networks for images of the entries, LeNet-5 and a residual network, each written for its library."""
