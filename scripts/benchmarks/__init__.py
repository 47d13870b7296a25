"""Benchmarks, which the tests do not run: one module each, with `main(argv) -> exit status`."""
