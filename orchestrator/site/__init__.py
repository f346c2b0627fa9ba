"""The dashboard: from what a history has of a year of nights to pages. Pure, but for ``write``."""
