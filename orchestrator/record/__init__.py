"""Run records on disk: the journal and what is rendered from it."""
