"""Runs actions: scheduler, engine, sources, artifact store, emulation."""
