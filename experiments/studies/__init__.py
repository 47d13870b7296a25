"""The studies: a folder each, which says its question, command, time and expected result in its first lines."""
