"""What few need: training in the space that the rows of the data span."""
