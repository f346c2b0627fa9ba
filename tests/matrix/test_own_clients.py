"""Clients that a matrix brings: what they become, what they are declared to offer, and each fault."""

from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.matrix import capabilities
from orchestrator.matrix.capability_table import CCM, SUITES
from orchestrator.matrix.clients import CLIENTS, OWN
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import ClientValue

GCM, *_ = SUITES
HEAD = """version: 1
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [quictls-3.3.0-quic1]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_AES_128_CCM_SHA256]
  client:
"""


def write(folder: Path, *clients: str) -> Path:
    path = folder / "m.yaml"
    path.write_text(HEAD + "".join(f"    - {one}\n" for one in clients))
    return path


@pytest.mark.parametrize(
    ("place", "source", "where"),
    [
        ("package: curl=8.14.1-2+deb13u7", "package", ("curl=8.14.1-2+deb13u7",)),
        ("package: [curl, libcurl4t64]", "package", ("curl", "libcurl4t64")),
        ("package: [a.deb, /tmp/b.deb]", "package", ("FOLDER/a.deb", "/tmp/b.deb")),
        ("path: build/curl", "path", ("FOLDER/build/curl",)),
        ('image: "example.org:5000/curl:8.16"', "image", ("example.org:5000/curl:8.16",)),
        ("image: saved.tar.gz", "image", ("FOLDER/saved.tar.gz",)),
    ],
)
def test_a_client_comes_from_one_place(
    tmp_path: Path, place: str, source: str, where: tuple[str, ...]
) -> None:
    path = write(tmp_path, f"{{name: curl-8.16, family: curl, {place}}}")
    (client,) = load(path).axes["client"]
    assert isinstance(client, ClientValue)
    assert (client.name, client.family, client.source, client.is_own) == ("curl-8.16", "curl", source, True)
    assert client.where == tuple(one.replace("FOLDER", str(tmp_path)) for one in where)
    assert [cell.id.rpartition("--")[2] for cell in expand(load(path))] == ["client.curl-8.16"] * 2


def test_ours_are_none_of_these(tmp_path: Path) -> None:
    assert not any(
        isinstance(one, ClientValue) and one.is_own for one in load(write(tmp_path, *CLIENTS)).axes["client"]
    )


def test_an_include_takes_one_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, "curl", "{name: mine, family: curl, path: x}")
    path.write_text(
        path.read_text()
        + 'include: [{arch: arm64, haproxy: "3.0.11", tls: openssl-distro, cipher: default, client: mine}]\n'
    )
    (cell,) = [cell for cell in expand(load(path)) if cell.arch.name == "arm64"]
    assert cell.client.where == (str(tmp_path / "x"),)


@pytest.mark.parametrize(
    ("lacks", "declared"), [("", {CCM}), (", lacks: []", set()), (f", lacks: [{GCM}]", {GCM})]
)
def test_what_it_lacks_is_its_familys_unless_it_says_so(
    tmp_path: Path, lacks: str, declared: set[str]
) -> None:
    cells = expand(load(write(tmp_path, f"{{name: mine, family: curl, path: x{lacks}}}")))
    found = {
        cell.cipher.suite for cell in cells if capabilities.find_client_lack(cell.client, cell.cipher.suite)
    }
    assert found == declared


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("{name: curl, family: curl, path: x}", "name: 'curl' is built in; give this client its own name"),
        (
            "{name: a, family: aioquic, path: x}",
            "family: no aioquic of one's own: a script of ours drives it",
        ),
        ("{name: a, family: culr, path: x}", "family: no client family 'culr'; did you mean 'curl'?"),
        ("{name: a, family: curl}", "a client comes from one of package, path, image; none is given"),
        ("{name: a, family: curl, path: x, image: y}", "package, path, image; path, image is given"),
        (
            "{name: a, family: curl, image: My Curl}",
            "image: 'My Curl' is no image, as in example.org/curl:8.16",
        ),
        ("{name: a, family: curl, image: -x.tar}", "image: '-x.tar' begins with a dash"),
        ("{name: a, family: curl, package: cu rl}", "package: 'cu rl' is no package, as in curl or"),
        ("{name: a, family: curl, package: curl-}", "package: 'curl-' is no package"),
        ("{name: a, family: curl, package: [curl, ./x.deb]}", "either all .deb files, or all of the archive"),
        ("{name: a, family: curl, path: x, lacks: [CCM]}", "lacks[0]: no cipher 'CCM'"),
        ("wget", "no client 'wget'"),
    ],
)
def test_a_fault_has_its_place_and_the_remedy(tmp_path: Path, client: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, client))
    assert "m.yaml:8:" in caught.value.details
    assert said in caught.value.details


def test_of_each_family_of_programs_one_can_be_brought() -> None:
    assert set(CLIENTS) - set(OWN) == {"aioquic"}, "a library, which a script of ours drives"
