"""The studies: one folder each, whose `__init__.py` states its question, command, time and expected result."""
