"""Readers of untrusted files: no code in them runs, and invalid content raises one kind of error."""
