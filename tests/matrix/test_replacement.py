"""What ``--with`` may say, what it becomes, and what a person is told of another form."""

import os
from contextlib import chdir
from pathlib import Path

import pytest
from matrix_samples import matrix

from orchestrator.errors import UsageError
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.matrix.replacement import make_value, parse

URL = "https://git.example.org/haproxy.git"


@pytest.mark.parametrize(
    ("text", "name", "source", "where", "ref"),
    [
        ("haproxy=path:/x/haproxy", "haproxy-path", "path", "/x/haproxy", ""),
        (f"haproxy=git:{URL}#master", "haproxy-git", "git", URL, "master"),
        (f"haproxy=git:{URL}#refs/heads/a", "haproxy-git", "git", URL, "refs/heads/a"),
        (f"haproxy=git:{URL}", "haproxy-git", "git", URL, "HEAD"),
        ("haproxy=git:/x/haproxy#v3.4.0", "haproxy-git", "git", "/x/haproxy", "v3.4.0"),
        ("haproxy=prebuilt:/x/h_{arch}.deb", "haproxy-prebuilt", "prebuilt", "/x/h_{arch}.deb", ""),
        ("haproxy=tarball:/x/h.tar.gz", "haproxy-tarball", "tarball", "/x/h.tar.gz", ""),
        ("tls=libressl:path:/x/l", "libressl-path", "path", "/x/l", ""),
        ("tls=openssl:git:/x/o#master", "openssl-git", "git", "/x/o", "master"),
        ("tls=aws-lc:tarball:/x/a.tar", "aws-lc-tarball", "tarball", "/x/a.tar", ""),
        ("haproxy={path: /x/haproxy}", "haproxy-path", "path", "/x/haproxy", ""),
        ("haproxy={name: mine, path: /x/haproxy}", "mine", "path", "/x/haproxy", ""),
    ],
)
def test_a_source_becomes_a_value_whose_version_is_read_later(
    text: str, name: str, source: str, where: str, ref: str
) -> None:
    made = make_value(parse(text), matrix())
    assert isinstance(made, HaproxyValue | TlsValue)
    assert (made.name, made.source, made.where, made.ref, made.version) == (name, source, where, ref, "")


def test_short_and_long_are_one_value() -> None:
    short, long = (make_value(parse(text), matrix()) for text in ("haproxy=path:/x", "haproxy={path: /x}"))
    assert short == long


def test_the_long_form_has_the_keys_of_the_file() -> None:
    text = "haproxy={path: /x, version: 3.5-dev5, make_flags: [DEBUG=-g], build_packages: [liblua5.4-dev]}"
    made = make_value(parse(text), matrix())
    assert made == HaproxyValue(
        name="haproxy-path",
        version="3.5-dev5",
        source="path",
        where="/x",
        make_flags=("DEBUG=-g",),
        build_packages=("liblua5.4-dev",),
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tls=openssl-3.6.0", "openssl-3.6.0"),
        ("haproxy=3.2.25", "3.2.25"),
        ("haproxy=distro", "distro"),
        ("arch=arm64", "arm64"),
        ("cipher=default", "default"),
        ("client=aioquic", "aioquic"),
        ("execution=aes-off", "aes-off"),
        ("haproxy={version: 3.2.25, make_flags: [DEBUG=-g]}", "3.2.25"),
        ("tls={family: openssl, version: 3.6.0, configure_flags: [no-asm]}", "openssl-3.6.0"),
        ("execution={cpu: 'Haswell,-aes'}", "given"),
    ],
)
def test_any_axis_takes_the_values_that_the_file_takes(text: str, name: str) -> None:
    assert make_value(parse(text), matrix()).name == name


def test_a_name_of_the_matrix_is_its_own_value() -> None:
    mine = HaproxyValue(name="mine", version="3.0.11", make_flags=("DEBUG=-g",))
    whole = matrix()
    known = type(whole)(**{**whole.__dict__, "axes": {**whole.axes, "haproxy": (mine,)}})
    assert make_value(parse("haproxy=mine"), known) is mine


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("haproxy=path:.", "haproxy=path:{here}"),
        ("haproxy=path:../other", "haproxy=path:{above}/other"),
        ("haproxy=git:../h.git", "haproxy=git:{above}/h.git#HEAD"),
        (f"haproxy=git:{URL}#master", f"haproxy=git:{URL}#master"),
        ("haproxy=prebuilt:dist/h_{{arch}}.deb", "haproxy=prebuilt:{here}/dist/h_{{arch}}.deb"),
        ("tls=libressl:path:l", "tls=libressl:path:{here}/l"),
        ("tls=openssl-3.6.0", "tls=openssl-3.6.0"),
        ("haproxy={{path: .}}", "haproxy=path:{here}"),
        (
            "haproxy={{path: ., version: 3.5-dev5, make_flags: [DEBUG=-g], patches: [a b.diff]}}",
            "haproxy={{path: {here}, version: 3.5-dev5, make_flags: [DEBUG=-g], patches: [{here}/a b.diff]}}",
        ),
        ("tls={{family: libressl, git: l.git master, name: x}}", None),
        ("tls={{family: libressl, git: l.git master}}", "tls=libressl:git:{here}/l.git#master"),
        # What a short form would not say, or say otherwise.
        ("haproxy={{git: a#b master}}", "haproxy={{git: {here}/a#b master}}"),
        ("haproxy={{git: a}}", "haproxy={{git: {here}/a}}"),
        ("tls={{path: x}}", "tls={{path: {here}/x}}"),
    ],
)
def test_it_is_written_down_so_that_it_means_the_same_in_any_folder(
    tmp_path: Path, text: str, told: str | None
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with chdir(here):
        given = parse(text.format())
        assert told is None or given.text == told.format(here=here, above=tmp_path)
    with chdir("/"):
        again = parse(given.text)
    assert (again.given, again.text) == (given.given, given.text)


def test_a_home_is_filled_in() -> None:
    assert parse("haproxy=path:~/haproxy").text == f"haproxy=path:{os.path.expanduser('~')}/haproxy"  # noqa: PTH111


FORMS = "as in haproxy=path:."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "--with '': it names nothing"),
        ("haproxy", "--with 'haproxy': it names nothing"),
        ("haproxy=", "--with 'haproxy=': it names nothing"),
        ("haproxy= ", "--with 'haproxy= ': it names nothing"),
        ("haproxy={}", "--with 'haproxy={}': it names nothing"),
        ("=path:.", "--with '=path:.': it is AXIS=VALUE"),
        ("haproxi=path:.", "--with 'haproxi=path:.': no axis 'haproxi'; did you mean 'haproxy'?"),
        (
            "haproxy=pth:.",
            "--with 'haproxy=pth:.': no source 'pth'; did you mean 'path'? (git, path, prebuilt, tarball)",
        ),
        ("haproxy=path:", "--with 'haproxy=path:': path: names nothing"),
        (
            "tls=path:.",
            "--with 'tls=path:.': of which library? name its family, as in tls=openssl:path:.",
        ),
        (
            "tls=opensl:path:.",
            (
                "--with 'tls=opensl:path:.': no family 'opensl'; did you mean 'openssl'?"
                " (openssl, libressl, quictls, aws-lc, wolfssl)"
            ),
        ),
        ("haproxy={path: .", "--with 'haproxy={path: .': "),
        ("haproxy={path: .} }", "--with 'haproxy={path: .} }': "),
    ],
)
def test_another_form_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.brief.startswith(told)
    assert FORMS in caught.value.resolution or "axes: arch" in caught.value.details


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "haproxy={path: /x, makeflags: []}",
            "makeflags: unknown key; did you mean 'make_flags'?",
        ),
        ("haproxy={path: /x, version: 3.5}", "version: YAML reads 3.5 as the number 3.5; write it in quotes"),
        ("haproxy={make_flags: [DEBUG=-g]}", "the key 'version' is missing; only with git, path, prebuilt,"),
        ("haproxy={path: /x, git: /y master}", "path: path does not go with git: a source comes from one"),
        ("haproxy={path: /x, name: 'a--b'}", "name: 'a--b' is not allowed: letters, digits and"),
        ("haproxy={path: /x, make_flags: ['$(rm -r x)']}", "make_flags[0]: '$(rm -r x)' is not allowed"),
        ("tls={path: /x}", "the key 'family' is missing"),
        ("haproxy=git:ext::sh#x", "git: 'ext::sh' names a transport helper"),
        ("haproxy=git:host:x.git#master", "git: 'host:x.git' is neither a URL nor a folder"),
        ("haproxy=3.x.y.z!", "'3.x.y.z!' is not allowed"),
        ("arch=arm46", "no arch 'arm46'; did you mean 'arm64'?"),
        ("tls=opensl-3.5.7", "'opensl-3.5.7' is no <family>-<version>; did you mean 'openssl'?"),
        ("tls=openssl:prebuilt:/x", "prebuilt: unknown key"),
    ],
)
def test_a_fault_is_told_as_one_of_the_file(text: str, told: str) -> None:
    given = parse(text)
    with pytest.raises(UsageError) as caught:
        make_value(given, matrix())
    assert caught.value.brief.startswith(f"--with {given.text!r}: "[:60])
    assert told in caught.value.brief
    assert "docs/with.md" in caught.value.resolution


def test_all_faults_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        make_value(parse("haproxy={path: /x, makeflags: [], version: 3.5}"), matrix())
    assert "version: YAML reads 3.5" in str(caught.value)
    assert "makeflags: unknown key" in str(caught.value)
