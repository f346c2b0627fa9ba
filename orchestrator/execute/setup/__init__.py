"""What a machine needs, and how it is installed."""
