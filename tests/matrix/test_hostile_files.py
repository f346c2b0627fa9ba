"""What a file of somebody else's may say: each field of matrix.yaml and sources.yaml x hostile values.

It is refused with its place and a remedy, or it comes out where it can do no harm.
"""

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Tell
from hostile import AGAIN, CANARY, EVALUATED, Hostile, published, rows, tried
from hostile_fields import Place, Walk, yaml_text

from orchestrator import resources
from orchestrator.arch import ARCHES
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.execute.sources.unpinned import ResolvedSource
from orchestrator.matrix import catalog, schema
from orchestrator.matrix.catalog import Catalog, Moving, Source, load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import Cell, Limits
from orchestrator.reproduce import planned_folders

pytestmark = pytest.mark.whole

MATRIX = Walk(schema=schema.make_json_schema(), also=("axes",)).places()
SOURCES = Walk(
    schema=catalog._File.model_json_schema(),
    forms={
        "SourceOrigin": (lambda text: text, lambda text: {"debian-pool": text}, lambda text: {"pypi": text})
    },
).places()
HOST = ARCHES["amd64"]
KNOWN = load_catalog([resources.find_root() / "sources.yaml"])

_FAULT = re.compile(r"[^\n]+\.yaml:\d+:\d+: [^\n]+(\n[^\n]+\.yaml:\d+:\d+: [^\n]+)*")
_PLAIN = re.compile(r"[0-9A-Za-z._/+,:=@%~-]*", re.ASCII)
"""What a shell takes for one word wherever it stands."""

Files = Mapping[str, bytes]
Rendering = Callable[[Path], Files]
"""From a file to all that `matrixctl render` would write."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One value in one field: refused with an error, or rendered to files."""

    place: Place
    value: Hostile
    error: MatrixctlError | None
    files: Files

    def __str__(self) -> str:
        return f"{self.place.name}: {self.value.name}"


def bring(moving: Moving) -> ResolvedSource:
    source = Source(
        component=moving.component, version=moving.version, file="x", sha256="0" * 64, strip=1, origins=()
    )
    return ResolvedSource(source=source, path=Path("/nowhere/x"), origin=str(moving), new=True)


def rendered(cells: Sequence[Cell], known: Catalog) -> Files:
    made = planned_folders.render(cells, known, Limits(), HOST, bring)
    return made.folder.files


def of_matrix(file: Path) -> Files:
    return rendered(expand(load(file)), KNOWN)


def of_sources(file: Path) -> Files:
    cells = expand(load(file.parent / "matrix.yaml"))
    return rendered(cells, Catalog(sources={**KNOWN.sources, **load_catalog([file]).sources}))


def every(places: Sequence[Place], file: Path, rendering: Rendering, *, whole: bool) -> list[Tried]:
    found = []
    for row in rows(len(places), whole=whole):
        for place, value in zip(places, row, strict=True):
            file.write_text(yaml_text(place.build(value.text)))
            try:
                found.append(Tried(place=place, value=value, error=None, files=rendering(file)))
            except MatrixctlError as error:
                found.append(Tried(place=place, value=value, error=error, files={}))
    return found


def distro_matrix(folder: Path) -> None:
    axes = "{arch: [amd64], haproxy: ['3.0.11'], tls: [openssl-distro], cipher: [default]}"
    (folder / "matrix.yaml").write_text(f"version: 1\naxes: {axes}\n")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory, whole_corpus: bool) -> list[Tried]:
    return every(MATRIX, tmp_path_factory.mktemp("matrix") / "matrix.yaml", of_matrix, whole=whole_corpus)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, whole_corpus: bool) -> list[Tried]:
    folder = tmp_path_factory.mktemp("sources")
    distro_matrix(folder)
    return every(SOURCES, folder / "sources.yaml", of_sources, whole=whole_corpus)


@pytest.fixture(scope="module")
def both(matrix: list[Tried], sources: list[Tried]) -> list[Tried]:
    return [*matrix, *sources]


def accepted(all_of_them: Sequence[Tried]) -> list[Tried]:
    return [one for one in all_of_them if one.error is None]


def test_the_walk_finds_fields_that_are_known_to_be_there() -> None:
    names = {place.name for place in MATRIX}
    assert {"axes.haproxy[0].git", "axes.tls[0].configure_flags[0]", "profiles.haproxy.filters[0]"} <= names
    assert {"exclude[0].tls", "expect[0].because", "limits.fetch", "version"} <= names
    assert {"axes (unknown key)", "profiles (key)"} <= names
    assert {"components.haproxy.3.0.11.origins[0]", "components (key)"} <= {place.name for place in SOURCES}


@pytest.mark.parametrize("place", MATRIX, ids=lambda place: place.name)
def test_each_field_stands_in_a_matrix_that_loads_without_it(place: Place, tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(yaml_text(place.base))
    assert expand(load(tmp_path / "matrix.yaml"))


def test_a_refusal_names_file_line_and_column_and_says_what_to_do(both: list[Tried]) -> None:
    wrong = [
        f"{one}: {one.error}"
        for one in both
        if isinstance(one.error, UsageError)
        and not (_FAULT.fullmatch(one.error.details) and one.error.resolution and one.error.exit_code == 2)
    ]
    assert wrong == []


def test_a_refusal_is_short_and_brings_no_line_or_escape_of_its_own(both: list[Tried]) -> None:
    def wrong(one: Tried) -> bool:
        details = one.error.details if isinstance(one.error, UsageError) else ""
        return any(len(line) > 1000 or not line.isprintable() for line in details.splitlines())

    assert [f"{one}: {one.error}" for one in both if wrong(one)] == []


def test_only_a_source_that_cannot_be_had_is_refused_later(both: list[Tried]) -> None:
    later = [one for one in both if one.error is not None and not isinstance(one.error, UsageError)]
    assert {type(one.error).__name__ for one in later} <= {"SourceUnreachableError"}


def test_nothing_of_a_file_reaches_an_image(matrix: list[Tried], tmp_path: Path) -> None:
    distro_matrix(tmp_path)
    plain = of_matrix(tmp_path / "matrix.yaml")
    images = of_images(plain)
    assert {"base.Dockerfile", "toolchain.Dockerfile", "client.Dockerfile"} <= images.keys()
    for one in accepted(matrix):
        found = of_images(one.files)
        assert "base.Dockerfile" in found, one
        assert {path: text for path, text in found.items() if images.get(path, text) != text} == {}, one


def of_images(files: Files) -> dict[str, bytes]:
    """The files of images, each by its name: every build has those that it needs."""
    parts = ((path.partition("/images/"), text) for path, text in files.items())
    return {name: text for (_, inside, name), text in parts if inside}


def test_every_script_is_shell_and_holds_a_value_only_as_one_word(both: list[Tried], tmp_path: Path) -> None:
    scripts: dict[bytes, Tried] = {}
    for one in accepted(both):
        scripts |= {content: one for path, content in one.files.items() if path.endswith(".sh")}
    assert len(scripts) > 10
    for content, one in scripts.items():
        loose = content.decode().replace(shlex.quote(one.value.text), "")
        assert _PLAIN.fullmatch(one.value.text) or len(one.value.text) < 5 or one.value.text not in loose, one
    for number, content in enumerate(scripts):
        (tmp_path / f"{number}.sh").write_bytes(content)
    check = 'for file; do sh -n "$file" || exit 1; done'
    subprocess.run(["sh", "-c", check, "sh", *map(str, tmp_path.glob("*.sh"))], check=True, timeout=60)


def test_haproxy_reads_no_directive_that_is_not_ours(both: list[Tried], tmp_path: Path) -> None:
    distro_matrix(tmp_path)
    plain = of_matrix(tmp_path / "matrix.yaml")

    def outline(files: Files) -> set[tuple[str, ...]]:
        texts = [text.decode() for path, text in files.items() if path.endswith("haproxy.cfg")]
        return {tuple(" ".join(line.split()[:2]) for line in text.splitlines()[1:]) for text in texts}

    wanted = outline(plain)
    assert len(wanted) == 1
    assert [str(one) for one in accepted(both) if not outline(one.files) <= wanted] == []


def test_nothing_was_run_while_it_was_read_and_rendered(both: list[Tried]) -> None:
    texts = {
        text.decode("utf-8", "replace")
        for one in accepted(both)
        for path, text in one.files.items()
        if "/bodies/" not in path
    }
    assert [text[:200] for text in texts if EVALUATED in text] == []
    assert not Path(CANARY).exists()


def test_what_is_told_of_it(matrix: list[Tried], sources: list[Tried], tell: Tell) -> None:
    for name, places, found in (("matrix.yaml", MATRIX, matrix), ("sources.yaml", SOURCES, sources)):
        counts = Counter("rendered" if one.error is None else "refused" for one in found)
        outcomes = f"{counts['refused']:,} refused, {counts['rendered']:,} rendered"
        tell(f"{tried(f'fields of {name}', len(places), len(found))}: {outcomes}")
        assert counts.total() >= 17 * len(places)
        assert published(f"fields of {name}", len(places)), AGAIN
