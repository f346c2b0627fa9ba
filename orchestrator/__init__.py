"""matrixctl: a cross-architecture matrix of HAProxy builds, judged by HTTP/3 probes."""

__version__ = "0.1.0"
