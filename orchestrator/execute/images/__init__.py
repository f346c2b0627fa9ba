"""The container images: what is in them, how they are made, and proof of their architecture."""
