"""Experiments with jaxnn on real data: `python -m experiments --help`.

All file access of the project is here; the library itself uses neither disk nor clock. Each experiment is a folder: its
`__init__.py` states the question, the command, the time and the expected result, and declares the options; its `run.py`
runs it.

"""
