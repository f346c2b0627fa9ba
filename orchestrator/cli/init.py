"""``matrixctl init``."""

from pathlib import Path

import click

from orchestrator.atomic_files import write_new
from orchestrator.cli.common import read_catalog, say
from orchestrator.errors import UsageError
from orchestrator.execute.sources.identify import TITLES, Identity
from orchestrator.execute.sources.version import identify_folder
from orchestrator.plan.render import Renderer
from orchestrator.versions import Version

_FILE = Path("matrix.yaml")
_WORKFLOW = Path(".github/workflows/http3.yml")
_KINDS = ("haproxy", "tls", "distribution")


@click.command(epilog="Example: matrixctl init haproxy")
@click.argument("kind", type=click.Choice(_KINDS), required=False)
@click.option("--github", is_flag=True, help="Write a workflow of GitHub Actions, too, which runs it.")
def init(kind: str | None, *, github: bool) -> None:
    """Write a commented matrix.yaml into this folder.

    It suits work on HAProxy, a TLS library or packages. Without KIND: what the tree in this folder is. A
    file that is there already is left alone; with --github a matrix.yaml may be there.
    """
    here = identify_folder(Path())
    kind = kind or ("tls" if here and here.family != "haproxy" else "haproxy")
    if github:
        _write(_WORKFLOW, Renderer().render("init/workflow.yml.j2", {}))
        click.echo(f"{_WORKFLOW} is written.")
        say("In it, put the repository of matrixctl and a commit in the place of OWNER/matrixctl@COMMIT.")
    if not (github and _FILE.exists()):
        _write(_FILE, Renderer().render(f"init/{kind}.yaml.j2", _choose_values(kind, here)))
        click.echo(f"{_FILE} is written, for work on {_describe_work(kind, here)}.")
    say("Next: `matrixctl cells` shows its cells, `matrixctl run --profile quick` runs the first of them.")


def _write(path: Path, text: str) -> None:
    """:raises UsageError: where there is such a file, or the folder cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, text.encode())
    except FileExistsError:
        raise UsageError(
            f"{path} is here already, and stays as it is",
            resolution="Move it away, or call `matrixctl init` in another folder.",
        ) from None


def _choose_values(kind: str, here: Identity | None) -> dict[str, object]:
    if kind != "tls":
        return {"here": here is not None and here.family == "haproxy"}
    mine = here is not None and here.family != "haproxy"
    family = here.family if here is not None and mine else "openssl"
    versions = [version for component, version in read_catalog(()).sources if component == family]
    release = f"{family}-{max(versions, key=Version.parse)}"
    return {"here": mine, "family": family, "title": TITLES[family], "release": release}


def _describe_work(kind: str, here: Identity | None) -> str:
    if kind == "distribution":
        return "packages of HAProxy"
    if here is not None and (here.family == "haproxy") == (kind == "haproxy"):
        return f"the tree in this folder, {here}"
    return "HAProxy" if kind == "haproxy" else "a TLS library"
