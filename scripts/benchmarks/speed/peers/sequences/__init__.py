"""The networks for sequences of the entries, each written for its library, with what it has of LSTMs and attention."""
