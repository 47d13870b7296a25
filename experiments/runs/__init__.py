"""A run: its options, folder, checkpoints, timings, and the page that shows it."""
