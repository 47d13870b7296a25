"""What is measured by hand, not in the tests: one module a benchmark, each with `main(argv) -> exit status`."""
