"""Tests of the command line: a file per verb, and `test_main.py` for what all verbs share."""
