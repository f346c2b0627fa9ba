"""sources.yaml: what it may say, and how its faults are told."""

from pathlib import Path

import pytest

from orchestrator import resources
from orchestrator.errors import Exit, SourceUnreachableError, UsageError
from orchestrator.matrix.capability_table import FAMILIES
from orchestrator.matrix.catalog import SourceOrigin, load_catalog

DIGEST = "a" * 64
GOOD = f"""version: 1
components:
  haproxy:
    "3.0.11":
      file: haproxy-3.0.11.tar.gz
      sha256: {DIGEST}
      strip: 2
      origins:
        - https://example.org/haproxy-3.0.11.tar.gz
        - debian-pool: main/h/haproxy/haproxy_3.0.11.orig.tar.gz
        - pypi: awscrt==0.31.0
"""


def write(folder: Path, text: str, name: str = "sources.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path) -> list[str]:
    """The fault lines, without the file's name."""
    with pytest.raises(UsageError) as caught:
        load_catalog([path])
    assert caught.value.exit_code is Exit.USAGE
    return [line.removeprefix(f"{path}:") for line in caught.value.details.splitlines()]


def test_the_real_file_names_what_the_matrix_needs() -> None:
    catalog = load_catalog([resources.find_root() / "sources.yaml"])
    for component, version in (
        ("haproxy", "3.0.11"),
        ("openssl", "3.0.22"),
        ("openssl", "3.5.7"),
        ("aws-lc", "5.1.0"),
        ("wolfssl", "5.7.2"),
    ):
        source = catalog.find(component, version)
        assert source.blocked is None
        assert any(origin.kind == "debian-pool" for origin in source.origins)


def test_the_real_file_has_an_upstream_for_whatever_no_debian_has() -> None:
    catalog = load_catalog([resources.find_root() / "sources.yaml"])
    odd = {component for component, _ in catalog.sources} ^ {"haproxy", *FAMILIES}
    assert not odd, f"sources.yaml has sources of each family, and of no other: {sorted(odd)}"
    for source in catalog.sources.values():
        assert source.origins
        assert all(origin.where.startswith("https://") for origin in source.origins if origin.kind == "url")
    assert catalog.find("haproxy", "3.0-dev13").blocked
    assert catalog.find("libressl", "3.9.2").blocked is None


def test_an_entry_is_read_whole(tmp_path: Path) -> None:
    source = load_catalog([write(tmp_path, GOOD)]).find("haproxy", "3.0.11")
    assert (source.file, source.sha256, source.strip) == ("haproxy-3.0.11.tar.gz", DIGEST, 2)
    assert [str(origin) for origin in source.origins] == [
        "https://example.org/haproxy-3.0.11.tar.gz",
        "debian-pool: main/h/haproxy/haproxy_3.0.11.orig.tar.gz",
        "pypi: awscrt==0.31.0",
    ]


def test_a_later_file_adds_and_replaces_whole_entries(tmp_path: Path) -> None:
    site = f"""version: 1
components:
  haproxy:
    "3.0.11": {{file: own.tar.gz, sha256: {"b" * 64}}}
  libressl:
    "4.0.0": {{file: libressl-4.0.0.tar.gz, sha256: {DIGEST}}}
"""
    catalog = load_catalog([write(tmp_path, GOOD), write(tmp_path, site, "site.yaml")])
    own = catalog.find("haproxy", "3.0.11")
    assert (own.file, own.strip, own.origins) == ("own.tar.gz", 1, ())
    assert catalog.find("libressl", "4.0.0").sha256 == DIGEST


def test_an_unknown_digest_is_allowed_and_blocks(tmp_path: Path) -> None:
    source = load_catalog([write(tmp_path, GOOD.replace(DIGEST, "unknown"))]).find("haproxy", "3.0.11")
    assert source.sha256 is None
    assert source.blocked == "the SHA-256 of haproxy 3.0.11 is unknown, and nothing is used unverified"


def test_a_source_without_entry_says_what_there_is(tmp_path: Path) -> None:
    catalog = load_catalog([write(tmp_path, GOOD)])
    with pytest.raises(SourceUnreachableError, match=r"known versions of haproxy: 3\.0\.11"):
        catalog.find("haproxy", "3.0.12")
    with pytest.raises(SourceUnreachableError, match="did you mean 'haproxy'"):
        catalog.find("haprox", "3.0.11")


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """version: 1
components:
  haproxy:
    "3.0":
      file: ../haproxy.tar.gz
      sha265: 12
      strip: "1"
    "3.0.11":
      file: a/b.tar.gz
      sha256: ABC
      strip: 9
      origins: [ftp://example.org/a, {debian-pool: main/h/../x}, {pypi: awscrt}]
    "3.0.11": {file: x, sha256: unknown}
    3.1: {}
  Open: {}
""",
    )
    safe = "a file name has to match [0-9A-Za-z][0-9A-Za-z.+~_-]*, without `..`; this is"
    at = "components.haproxy"
    known = "(keys: file, sha256, strip, origins)"
    digits = "has to be 64 lower-case hexadecimal digits, or `unknown`"
    forms = (
        "an origin is an http(s) URL, `debian-pool: main/h/haproxy/FILE` or `pypi: NAME==VERSION`; this is"
    )
    assert refusal(path) == [
        f"5:7: {at}.3.0: the key 'sha256' is missing",
        f"5:13: {at}.3.0.file: {safe} '../haproxy.tar.gz'",
        f"6:7: {at}.3.0.sha265: unknown key; did you mean 'sha256'? {known}",
        f"7:14: {at}.3.0.strip: must be a valid integer",
        f"9:13: {at}.3.0.11.file: {safe} 'a/b.tar.gz'",
        f"10:15: {at}.3.0.11.sha256: {digits}",
        f"11:14: {at}.3.0.11.strip: must be less than or equal to 5",
        f"12:17: {at}.3.0.11.origins[0]: {forms} 'ftp://example.org/a'",
        f"12:38: {at}.3.0.11.origins[1]: {forms} {{'debian-pool': 'main/h/../x'}}",
        f"12:66: {at}.3.0.11.origins[2]: {forms} {{'pypi': 'awscrt'}}",
        f"13:5: {at}.3.0.11: the key stands here twice",
        f"14:5: {at}: a key must be text, not '3.1'",
        "15:3: components.Open: a component has to match [a-z][a-z0-9-]*, without `..`; this is 'Open'",
    ]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("haproxy-3.0.11.tar.gz\n      sha", "a/b.tar.gz\n      sha", "5:13"),
        ("haproxy-3.0.11.tar.gz\n      sha", "a..gz\n      sha", "5:13"),
        (f"sha256: {DIGEST}", f"sha256: {DIGEST.upper()}", "6:15"),
        (f"sha256: {DIGEST}", "sha256: abc", "6:15"),
        ("strip: 2", "strip: 6", "7:14"),
        ("https://example.org/", "ftp://example.org/", "9:11"),
        ("debian-pool: main/h", "debian-pool: main/../h", "10:11"),
        ("debian-pool: main/h", "debian-pool: http://main/h", "10:11"),
        ("awscrt==0.31.0", "awscrt>=0.31.0", "11:11"),
        ("awscrt==0.31.0", "awscrt==0.31.0 --index-url=x", "11:11"),
        ('"3.0.11"', '"3/0"', "4:5"),
        ("version: 1", "version: 2", "1:10"),
    ],
)
def test_what_is_outside_the_allowed_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    assert old in GOOD
    faults = refusal(write(tmp_path, GOOD.replace(old, new, 1)))
    assert [line.partition(": ")[0] for line in faults] == [where]


def test_an_origin_prints_as_the_file_names_it() -> None:
    assert str(SourceOrigin(kind="pypi", where="awscrt==0.31.0")) == "pypi: awscrt==0.31.0"
    assert str(SourceOrigin(kind="url", where="https://example.org/x")) == "https://example.org/x"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: (file): the key 'version' is missing"),
        ("- 1", "1:1: (file): a mapping belongs here, not a list"),
        ("version: [", "not YAML: "),
        (GOOD.replace("haproxy-3.0.11.tar.gz\n      sha", "3.10\n      sha"), 'write it in quotes: "3.10"'),
        (
            GOOD.replace("strip", "stripe"),
            "7:7: components.haproxy.3.0.11.stripe: unknown key; did you mean 'strip'?",
        ),
        ("version: 1\ncomponents: &a {x: *a}", "an alias of itself"),
        (GOOD + "  haproxy: {}\n", "12:3: components.haproxy: the key stands here twice"),
    ],
)
def test_bad_files_are_told_in_one_line(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in "\n".join(refusal(write(tmp_path, text)))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"sources\.yaml: cannot be read: No such file"):
        load_catalog([tmp_path / "sources.yaml"])
    (tmp_path / "sources.yaml").write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match="cannot be read: 'utf-8' codec"):
        load_catalog([tmp_path / "sources.yaml"])
    (tmp_path / "sources.yaml").write_bytes(b"#" * (1 << 20) + b"x")
    with pytest.raises(UsageError, match="larger than 1024 KiB"):
        load_catalog([tmp_path / "sources.yaml"])
