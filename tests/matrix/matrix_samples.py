"""Matrices for tests, made without a file."""

from collections.abc import Mapping, Sequence

from orchestrator.matrix import schema
from orchestrator.matrix.model import DEFAULTS, AxisValue, ClientValue, Limits, Matrix

SMALL: Mapping[str, Sequence[str]] = {
    "arch": ["amd64", "arm64"],
    "haproxy": ["3.0-dev12", "3.0.11", "3.1.9", "3.2-dev5", "3.2.0"],
    "tls": ["openssl-distro", "openssl-3.5.7", "libressl-3.9.2"],
    "cipher": ["TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256", "default"],
}


def record(axis: str, name: str) -> AxisValue:
    """The record of a short name; a client may have any name here."""
    return ClientValue(name=name, family=name) if axis == "client" else schema.make_value(axis, name)


def matrix(
    axes: Mapping[str, Sequence[str]] = SMALL,
    *,
    include: Sequence[Mapping[str, str]] = (),
    exclude: Sequence[Mapping[str, str]] = (),
    profiles: Mapping[str, tuple[str, ...]] | None = None,
) -> Matrix:
    return Matrix(
        axes={axis: tuple(record(axis, name) for name in names) for axis, names in axes.items()},
        defaults=DEFAULTS,
        include=tuple({axis: record(axis, name) for axis, name in entry.items()} for entry in include),
        exclude=tuple({axis: record(axis, name) for axis, name in entry.items()} for entry in exclude),
        profiles=profiles or {},
        limits=Limits(),
        digest="0" * 64,
        path="matrix.yaml",
    )
