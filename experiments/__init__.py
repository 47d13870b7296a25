"""Experiments with jaxnn on real data: `python -m experiments --help`.

All reading and writing of the project is here; the library itself touches neither disk nor clock. Each experiment is a
folder: its `__init__.py` states the question, the command, the time and the expected result, and declares its options;
its `run.py` does the work.
"""
