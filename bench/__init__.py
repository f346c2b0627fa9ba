"""What matrixctl costs, measured: ``python -m bench``; docs/performance.md says how and what came out."""
