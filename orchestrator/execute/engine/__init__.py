"""The engine that runs containers: the protocol, and Docker behind it."""
