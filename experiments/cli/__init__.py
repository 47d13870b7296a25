"""The command line: one file for each command, and `main`, which chooses among them."""
