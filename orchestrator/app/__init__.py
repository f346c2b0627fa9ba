"""Joins matrix, plan, execute, probe and record into a run: the one room that sees them all.

A run begins in ``running.py``. Nothing is imported here, so that a command takes no more than its own part.
"""
