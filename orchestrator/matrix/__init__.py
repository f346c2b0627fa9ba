"""Load, expand and select the matrix: pure but for reading one file."""
