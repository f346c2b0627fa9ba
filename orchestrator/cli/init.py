"""``matrixctl init``."""

from pathlib import Path

import click

from orchestrator.cli.common import catalog, say
from orchestrator.errors import UsageError
from orchestrator.execute.sources.identify import TITLES, Identity
from orchestrator.execute.sources.version import identify_folder
from orchestrator.files import write_new
from orchestrator.plan.render import Renderer
from orchestrator.versions import Version

_FILE = Path("matrix.yaml")
_KINDS = ("haproxy", "tls", "distribution")


@click.command()
@click.argument("kind", type=click.Choice(_KINDS), required=False)
def init(kind: str | None) -> None:
    """Write a commented matrix.yaml into this folder, for work on HAProxy, a TLS library or packages.

    Without KIND: what the tree in this folder is. A file that is there already is left alone.
    """
    here = identify_folder(Path())
    kind = kind or ("tls" if here and here.family != "haproxy" else "haproxy")
    text = Renderer().render(f"init/{kind}.yaml.j2", _values(kind, here))
    try:
        write_new(_FILE, text.encode())
    except FileExistsError:
        raise UsageError(
            f"{_FILE} is here already, and stays as it is",
            resolution="Move it away, or call `matrixctl init` in another folder.",
        ) from None
    click.echo(f"{_FILE} is written, for work on {_about(kind, here)}.")
    say("Next: `matrixctl cells` shows its cells, `matrixctl run --profile quick` runs the first of them.")


def _values(kind: str, here: Identity | None) -> dict[str, object]:
    if kind != "tls":
        return {"here": here is not None and here.family == "haproxy"}
    mine = here is not None and here.family != "haproxy"
    family = here.family if here is not None and mine else "openssl"
    versions = [version for component, version in catalog(()).sources if component == family]
    release = f"{family}-{max(versions, key=Version.parse)}"
    return {"here": mine, "family": family, "title": TITLES[family], "release": release}


def _about(kind: str, here: Identity | None) -> str:
    if kind == "distribution":
        return "packages of HAProxy"
    if here is not None and (here.family == "haproxy") == (kind == "haproxy"):
        return f"the tree in this folder, {here}"
    return "HAProxy" if kind == "haproxy" else "a TLS library"
