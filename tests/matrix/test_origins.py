"""What may stand behind ``git:``, ``path:``, ``prebuilt:`` and ``patches:``, and how each fault is told."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.matrix import origins
from orchestrator.matrix.load import load
from orchestrator.matrix.model import HaproxyValue, Patch, TlsValue

DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


def matrix(folder: Path, *, haproxy: str = "", tls: str = "", version: str = "3.5.7") -> Path:
    path = folder / "m.yaml"
    path.write_text(
        f"""version: 1
axes:
  arch: [amd64]
  haproxy: [{{name: mine, version: "3.0.11"{haproxy}}}]
  tls: [{{name: ssl, family: openssl, version: {version}{tls}}}]
  cipher: [default]
"""
    )
    return path


def faults(path: Path) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(path)
    return [line.removeprefix(f"{path}:") for line in caught.value.details.splitlines()]


def haproxy(path: Path) -> HaproxyValue:
    (value,) = load(path).axes["haproxy"]
    assert isinstance(value, HaproxyValue)
    return value


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/haproxy.git master",
        "https://example.org:8443/~me/haproxy v3.0.11",
        "ssh://git@example.org:22/haproxy.git refs/heads/feature/x",
        "git://example.org/haproxy.git 0123456789012345678901234567890123456789",
        "file:///srv/git/haproxy.git HEAD",
        "../haproxy.git master",
        "/srv/git/haproxy next-3.1",
    ],
)
def test_what_git_may_be_given(text: str) -> None:
    assert origins.check_git(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://example.org/x.git", "is no `URL REF`"),
        ("https://example.org/x.git a b", "is no `URL REF`"),
        ("https://example.org/x.git\tmaster", "is no `URL REF`"),
        ("--upload-pack=x master", "begins with a dash"),
        ("ext::sh -c", "names a transport helper"),
        ("ext::sh%20-c%20id master", "names a transport helper"),
        ("fd::17 master", "names a transport helper"),
        ("http://example.org/x.git master", "git is not asked over 'http'; did you mean 'https'?"),
        ("git@example.org:x.git master", "ssh is written as"),
        ("ssh://-oProxyCommand=id/x master", "is no URL that git may be given"),
        ("ssh://-o@example.org/x master", "is no URL that git may be given"),
        ("https://me:secret@example.org/x master", "names a user or password"),
        ("https://token@example.org/x master", "names a user or password"),
        ("https://example.org/$(id) master", "is no URL that git may be given"),
        ("https://example.org/x\x1b[2J master", "is no URL that git may be given"),
        ("file://host/x master", "is no URL that git may be given"),
        ("../x;id master", "is no URL and no plain folder's path"),
        *(
            (f"https://example.org/x {ref}", "is no ref")
            for ref in ("-x", "a..b", "a//b", "a/", "a.", "a.lock", "a/.b", "a@{1}", "a~1", "a^", "a:b", "a*")
        ),
    ],
)
def test_what_git_may_not_be_given(text: str, why: str) -> None:
    assert why in (origins.check_git(text) or "")
    assert "secret" not in (origins.check_git(text) or "")


@given(st.text(max_size=40))
def test_whatever_passes_is_two_plain_words(text: str) -> None:
    if origins.check_git(text) is None:
        assert text.isascii()
        assert text.isprintable()
        assert not any(word.startswith("-") for word in text.split(" "))
    if origins.check_prebuilt(text) is None:
        assert text.isprintable()
        assert not text.startswith("-")


def test_sources_that_move_are_relative_to_the_file(tmp_path: Path) -> None:
    value = haproxy(matrix(tmp_path, haproxy=", git: ../haproxy.git master"))
    assert (value.source, value.where, value.ref) == ("git", f"{tmp_path}/../haproxy.git", "master")
    value = haproxy(matrix(tmp_path, haproxy=', git: "https://example.org/x.git v1"'))
    assert (value.source, value.where, value.ref) == ("git", "https://example.org/x.git", "v1")
    value = haproxy(matrix(tmp_path, haproxy=", path: ../haproxy"))
    assert (value.source, value.where, value.ref) == ("path", f"{tmp_path}/../haproxy", "")
    value = haproxy(matrix(tmp_path, haproxy=", prebuilt: 'dist/haproxy_{arch}.deb'"))
    assert (value.source, value.where) == ("prebuilt", f"{tmp_path}/dist/haproxy_{{arch}}.deb")
    value = haproxy(matrix(tmp_path, haproxy=", tarball: dist/haproxy.tar.gz"))
    assert (value.source, value.where) == ("tarball", f"{tmp_path}/dist/haproxy.tar.gz")
    (tls,) = load(matrix(tmp_path, tls=", path: /srv/openssl")).axes["tls"]
    assert isinstance(tls, TlsValue)
    assert (tls.source, tls.where) == ("path", "/srv/openssl")


def test_a_patch_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "fix.diff").write_text(DIFF)
    (patch,) = haproxy(matrix(tmp_path, haproxy=", patches: [fix.diff]")).patches
    assert patch == Patch(name="fix.diff", sha256=patch.sha256, path=str(tmp_path / "fix.diff"))
    assert patch.sha256 == hashlib.sha256(DIFF.encode()).hexdigest()
    (tmp_path / "fix.diff").write_text(DIFF.replace("+b", "+c"))
    (other,) = haproxy(matrix(tmp_path, haproxy=", patches: [fix.diff]")).patches
    assert other.sha256 != patch.sha256


@pytest.mark.parametrize(
    ("given_to", "text", "told"),
    [
        (
            "haproxy",
            ", git: 'ext::sh master'",
            (
                "4:50: axes.haproxy[0].git: 'ext::sh' names a transport helper (`::`),"
                " which could run any program"
            ),
        ),
        ("haproxy", ", path: -x", "4:51: axes.haproxy[0].path: '-x' begins with a dash; write ./ before it"),
        (
            "haproxy",
            ", prebuilt: 'x_{ach}'",
            "4:55: axes.haproxy[0].prebuilt: 'x_{ach}' has another placeholder than {arch}",
        ),
        (
            "haproxy",
            ", git: x y, path: z",
            "4:61: axes.haproxy[0].path: path does not go with git: a source comes from one place",
        ),
        (
            "haproxy",
            ", prebuilt: x, make_flags: [A=1]",
            (
                "4:55: axes.haproxy[0].prebuilt: make_flags do not go with prebuilt:"
                " nothing of it is compiled here"
            ),
        ),
        (
            "haproxy",
            ", prebuilt: x, patches: [fix.diff]",
            "4:67: axes.haproxy[0].patches: patches do not go with prebuilt: nothing of it is compiled here",
        ),
        (
            "haproxy",
            ", make_flags: [A=1], source: distro",
            (
                "4:72: axes.haproxy[0].source: make_flags do not go with source distro:"
                " nothing of it is compiled here"
            ),
        ),
        (
            "haproxy",
            ", source: distro, path: x",
            "4:67: axes.haproxy[0].path: path does not go with source: distro: a source comes from one place",
        ),
        (
            "haproxy",
            ", source: distro, patches: [fix.diff]",
            (
                "4:70: axes.haproxy[0].patches: patches do not go with source distro:"
                " nothing of it is compiled here"
            ),
        ),
        (
            "haproxy",
            ", patches: [fix.diff, sub/fix.diff]",
            "4:54: axes.haproxy[0].patches: two patches are called 'fix.diff'; rename one",
        ),
        (
            "tls",
            ", source: tarball, path: x",
            "5:77: axes.tls[0].path: path does not go with source: tarball: a source comes from one place",
        ),
        (
            "tls",
            ", prebuilt: x",
            (
                "5:54: axes.tls[0].prebuilt: unknown key (keys: name, family, version, source,"
                " configure_flags, make_flags, build_packages, runtime_packages, git,"
                " path, tarball, patches)"
            ),
        ),
    ],
)
def test_faults_have_a_place(tmp_path: Path, given_to: str, text: str, told: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("fix.diff", "sub/fix.diff"):
        (tmp_path / name).write_text(DIFF)
    assert faults(matrix(tmp_path, **{given_to: text})) == [told]


@pytest.mark.parametrize("key", ["git: x y", "path: x", "patches: [fix.diff]"])
def test_nothing_of_the_distros_library_is_compiled(tmp_path: Path, key: str) -> None:
    (tmp_path / "fix.diff").write_text(DIFF)
    (told,) = faults(matrix(tmp_path, version="distro", tls=f", {key}"))
    assert told.endswith(" does not go with version distro: nothing of it is compiled here")
    assert told.startswith("5:")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.diff", None, "the patch {} cannot be read: No such file or directory"),
        (
            "no.diff",
            "hello\n",
            "the patch {} is no diff: no line of it begins with `--- ` or `diff --git `",
        ),
        ("empty.diff", "", "the patch {} is no diff: no line of it begins with `--- ` or `diff --git `"),
        ("a b.diff", DIFF, "the patch '{}' needs a plain file name: letters, digits and . + ~ _ -"),
    ],
)
def test_a_faulty_patch_is_told_where_it_is_named(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    path = matrix(tmp_path, haproxy=f", patches: [{name}]")
    assert faults(path) == [f"4:55: axes.haproxy[0].patches[0]: {told.format(tmp_path / name)}"]


@pytest.mark.parametrize("url", ["a\nb://x", "\n://x", "a\u2028b://x"])
def test_a_scheme_brings_no_line_of_its_own(url: str) -> None:
    why = origins.check_git(f"{url} y")
    assert why is not None
    assert why.splitlines() == [why]
