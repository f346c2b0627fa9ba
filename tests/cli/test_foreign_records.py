"""Records of every kind of value that a matrix may have pass where a foreign one is refused."""

from datetime import date
from pathlib import Path

import pytest

from orchestrator import resources
from orchestrator.app.first_record import make_cell
from orchestrator.arch import ARCHES
from orchestrator.matrix.expand import expand
from orchestrator.matrix.expect import resolve
from orchestrator.matrix.load import load
from orchestrator.reproduce.foreign import refuse_cell

OWN = """version: 1
axes:
  arch: [amd64, s390x]
  haproxy:
    - {name: h-git, version: 3.4-dev1, git: https://git.example.org/haproxy.git master, patches: [f.diff]}
    - {name: h-path, version: "3.3.0", path: ./tree, make_flags: ["CFLAGS=-O1 -g", USE_PCRE2=1]}
    - {name: h-tar, version: "3.3.0", tarball: ./h.tar.gz, build_packages: [zlib1g-dev]}
    - {name: h-bin, version: "3.3.0", prebuilt: "./haproxy-{arch}", runtime_packages: [libpcre2-8-0]}
  tls:
    - openssl-distro
    - {name: t, family: wolfssl, version: "5.8.0", git: https://git.example/t v5, configure_flags: [--a=b]}
  cipher: [default, TLS_AES_128_CCM_SHA256]
  client:
    - aioquic
    - {name: c-path, family: curl, path: /opt/curl, version: "8.16.0"}
    - {name: c-image, family: curl, image: "example.org/curl:8.16", lacks: [TLS_AES_128_CCM_SHA256]}
    - {name: c-package, family: gtlsclient, package: [./a.deb]}
    - {name: c-apt, family: curl, package: ["curl=8.14.1-2+deb13u7"]}
  execution:
    - default
    - aes-on
    - {name: old, cpu: "Haswell,-aes"}
    - {name: masked, environment: {OPENSSL_ia32cap: "~0x200000200000000"}}
include:
  - {arch: amd64, haproxy: distro, tls: openssl-distro, cipher: default}
"""


@pytest.mark.parametrize("text", [None, OWN], ids=["default", "own"])
def test_what_a_matrix_can_say_is_taken(tmp_path: Path, text: str | None) -> None:
    file = resources.find_root() / "matrix.yaml"
    if text:
        file = tmp_path / "matrix.yaml"
        file.write_text(text)
        (tmp_path / "f.diff").write_text("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n")
    matrix = load(file)
    cells = expand(matrix)
    assert len(cells) > 100
    rules = resolve(matrix, cells, date(2026, 11, 1))
    for cell in cells:
        refuse_cell(make_cell(cell, ARCHES["amd64"], (), rules, None))
