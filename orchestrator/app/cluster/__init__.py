"""A run whose builds and probes are done by other machines, the workers of a Dask cluster."""
