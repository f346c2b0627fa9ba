"""The order in which actions are done, and how many at once."""
