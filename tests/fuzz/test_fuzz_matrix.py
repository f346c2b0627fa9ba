"""What reads the files and words of a user: matrix.yaml, sources.yaml, filters, versions, rules, patches."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes import cell
from fuzzing import Fuzz
from hypothesis import strategies as st
from mutations import near_bytes, near_text, near_tree, words

from orchestrator import resources
from orchestrator.matrix import banner, origins, patches
from orchestrator.matrix.catalog import load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.matrix.model import AXES
from orchestrator.matrix.replace import replace_values
from orchestrator.matrix.replacement import make_value, parse
from orchestrator.matrix.select import find_filters, select, select_ids
from orchestrator.matrix.until import parse_until
from orchestrator.matrix.yamltree import read
from orchestrator.versions import Version

MATRIX = (resources.find_root() / "matrix.yaml").read_bytes()
SOURCES = (resources.find_root() / "sources.yaml").read_bytes()
TREE = yaml.safe_load(MATRIX)
FULL = """\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy:
    - 3.0.11
    - {name: branch, version: 3.3-dev5, git: https://example.org/haproxy.git master, make_flags: [DEBUG=1]}
    - {name: tree, version: 3.2.0, path: ../haproxy, patches: [fix.diff]}
    - {name: binary, version: 3.0.11, prebuilt: "bin/haproxy-{arch}"}
  tls:
    - openssl-3.5.7
    - {name: forked, family: openssl, version: 3.5.7, configure_flags: [no-asm], patches: [fix.diff]}
  cipher: [default, TLS_AES_128_GCM_SHA256]
  client: [curl, aioquic]
  execution: [default, aes-off, {name: haswell, cpu: "Haswell,-aes"}]
include:
  - {arch: [s390x, riscv64], haproxy: 3.0.11, tls: openssl-3.5.7, cipher: default}
exclude:
  - {haproxy: binary, tls: forked}
expect:
  - {when: ["haproxy<3.1", cipher=default], outcome: fail, reason: handshake-refused,
     because: "https://example.org/1", until: haproxy 3.0.11}
profiles:
  quick: {filters: [arch=amd64, "tls=openssl*"]}
limits: {build: 900, emulated: 4}
"""
"""Every key that the file can have."""
DIFF = b"--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n"
CELLS = expand(load(resources.find_root() / "matrix.yaml"))
DAY = date(2026, 11, 22)
FEW = 20_000
"""Cells that one input is allowed here: a million are legal, and take seconds."""


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def reads(tmp_path: Path) -> Callable[[bytes], object]:
    """Everything that a run does with a matrix before it plans."""
    (tmp_path / "fix.diff").write_bytes(DIFF)

    def read_all(content: bytes) -> object:
        matrix = load(written(tmp_path / "matrix.yaml", content))
        size = 1
        for values in matrix.axes.values():
            size *= len(values)
        if size > FEW or len(matrix.include) > FEW:
            return matrix
        cells = expand(matrix)
        expectations = resolve(matrix, cells, DAY)
        for rule in expectations.rules:
            expectations.explain_stale(rule, cells)
        for profile in matrix.profiles:
            select(cells, find_filters(matrix, profile), known=cells)
        return [one.id for one in cells], expectations.met, expectations.list_unmet()

    return read_all


def dumped(tree: Any) -> bytes:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


def test_matrix_yaml_bytes(fuzz: Fuzz, reads: Callable[[bytes], object]) -> None:
    fuzz(near_bytes(MATRIX, FULL.encode()), reads)


def test_matrix_yaml_tree(fuzz: Fuzz, reads: Callable[[bytes], object]) -> None:
    fuzz(near_tree(TREE, yaml.safe_load(FULL)).map(dumped), reads)


def test_yaml_text(fuzz: Fuzz) -> None:
    """Whatever is wrong with a document has a place in it."""

    def call(text: str) -> object:
        tree = read(text)
        assert all(fault.line >= 1 <= fault.column for fault in tree.faults)
        assert all(str(fault) for fault in tree.faults)
        return tree.data, tree.faults

    fuzz(near_text(FULL, "a: &a [1]\nb: *a\nc: {<<: *a}\n", "- |\n x\n- >-\n y\n", "? [1]\n: 2\n"), call)


WITH = (
    "haproxy=path:.",
    "haproxy=git:https://example.org/x.git#master",
    "tls=libressl:path:../libressl",
    "tls=openssl-3.6.0",
    "haproxy={path: ., version: 3.5-dev5, name: x, make_flags: [DEBUG=-g], patches: [a.diff]}",
    "tls={family: openssl, git: x master, configure_flags: 'no-asm \"-DX=1 2\"'}",
)


def test_with(fuzz: Fuzz) -> None:
    """What is written down of ``--with`` means the same when it is read again."""
    matrix = load(resources.find_root() / "matrix.yaml")

    def call(text: str) -> object:
        given = parse(text)
        again = parse(given.text)
        assert (again.axis, again.given) == (given.axis, given.given)
        value = make_value(given, matrix)
        made = replace_values(matrix, [(given.axis, value)])
        return given.text, made.profiles, len(made.include)

    fuzz(near_text(*WITH), call)


def test_sources_yaml(fuzz: Fuzz, tmp_path: Path) -> None:
    def call(content: bytes) -> object:
        catalog = load_catalog([written(tmp_path / "sources.yaml", content)])
        catalog.find("openssl", "3.5.7")
        return catalog

    tree = near_tree(yaml.safe_load(SOURCES)).map(dumped)
    fuzz(st.one_of(near_bytes(SOURCES), tree), call)


FILTERS = (
    "haproxy<3.2",
    "haproxy=3.0..3.1",
    "tls=openssl>=3.5,libressl*",
    "cipher!=default",
    "tls=libressl@3..",
)


def test_filters(fuzz: Fuzz) -> None:
    pieces = st.tuples(st.sampled_from(AXES), st.sampled_from(("=", "!=", "<", "<=", ">", ">=")), words())
    texts = st.one_of(near_text(*FILTERS), pieces.map("".join))
    fuzz(st.lists(texts, min_size=1, max_size=3), lambda filters: select(CELLS, filters))


def test_ids_and_profiles(fuzz: Fuzz) -> None:
    matrix = load(resources.find_root() / "matrix.yaml")

    def call(texts: tuple[str, str]) -> object:
        return select_ids(select(CELLS, find_filters(matrix, texts[0])), [texts[1]])

    fuzz(st.tuples(near_text("quick", "full"), near_text(*(one.id for one in CELLS[:9]))), call)


def test_versions(fuzz: Fuzz) -> None:
    def call(texts: tuple[str, str, str]) -> object:
        one, two, three = map(Version.parse, texts)
        assert (one < two) + (one == two) + (one > two) == 1
        assert not one <= two <= three or one <= three
        assert str(one) == texts[0]
        return one.is_at_most(two), one

    text = near_text("3.0.11", "3.0-dev13", "3.3.0-quic1", "1.1.1w", "5.7.2-stable", edits=3)
    fuzz(st.tuples(text, text, text), call, refuses=(ValueError,))


def test_until(fuzz: Fuzz) -> None:
    texts = near_text("2027-01-31", "haproxy 3.0.11", "openssl 3.5", "libressl 3.9.2", edits=3)
    fuzz(texts, lambda text: parse_until(text).explain_past(cell(), DAY), refuses=(ValueError,))


def test_origins(fuzz: Fuzz, tmp_path: Path) -> None:
    """What is let through is located; the reason why something is not is a line."""

    def call(text: str) -> object:
        found: list[object] = []
        for allowed in (origins.check_git, origins.check_folder, origins.check_prebuilt):
            why = allowed(text)
            assert why is None or (why.strip() and "\n" not in why)
            found.append(why)
            if why is None and allowed is origins.check_git:
                url, ref = origins.split_git(text, tmp_path)
                assert not (url + ref).startswith("-")
            elif why is None:
                found.append(origins.locate(text, tmp_path))
        return found

    fuzz(
        near_text("https://example.org/x.git master", "ssh://git@h:22/x v1", "../tree", "~/x", "b/{arch}"),
        call,
    )


def test_patches(fuzz: Fuzz, tmp_path: Path) -> None:
    """The file's bytes, its name, and the words of ``--patch``."""

    def call(given: tuple[bytes, str]) -> object:
        content, text = given
        written(tmp_path / "fix.diff", content)
        component, patch = patches.parse(text.replace("DIR", str(tmp_path)))
        assert patches.read_content(patch) == content
        return patches.apply_patches(CELLS[:40], [(component, patch)])

    fuzz(st.tuples(near_bytes(DIFF), near_text("openssl=DIR/fix.diff", "haproxy=DIR/fix.diff")), call)


def test_banners(fuzz: Fuzz) -> None:
    ones = (cell(), cell(tls="openssl-distro"), cell(tls="aws-lc-5.1.0"), cell(tls="quictls-3.3.0-quic1"))

    def call(said: tuple[str, str]) -> object:
        text, other = said
        found = [banner.is_haproxy(one.haproxy, text) for one in ones]
        found += [banner.is_declared(one.tls, text) for one in ones]
        return found, banner.agree(text, other)

    text = near_text("OpenSSL 3.5.7 9 Jun 2026", "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)", "3.0.11-9e587df")
    fuzz(st.tuples(text, text), call)
