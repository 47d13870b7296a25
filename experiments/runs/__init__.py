"""A run: its options, folder, checkpoints, timings, and report page."""
