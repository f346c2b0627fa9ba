"""Build scripts: golden texts, accepted by a shell, and no value of a matrix breaks out of them."""

import os
import subprocess
from pathlib import Path

import pytest
from fakes import cell
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError
from plan_samples import CATALOG, cells, planner

from orchestrator.execute.engine import WORK
from orchestrator.matrix.model import HaproxyValue, TlsValue
from orchestrator.plan.action import Recipe
from orchestrator.plan.plan import PREFIX
from orchestrator.plan.render import Renderer

HOSTILE = (
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "x\ntouch pwned",
    "#",
)

OPENSSL_ARM64 = """\
#!/bin/sh
# Builds openssl 3.5.7 for arm64, statically, with a prefix of its own: the prefix
# stands in the library and later proves which library a HAProxy binary really holds.
# Options: INSTALL.md of OpenSSL. Runs in /work without network; JOBS says how many compilers at once.
set -eu
cd /work
mkdir -p build out stage
tar -x -f src/openssl-3.5.7.tar.gz -C build --strip-components=1
export CCACHE_DIR=/work/ccache CCACHE_MAXSIZE=400M CCACHE_BASEDIR=/work CCACHE_NOHASHDIR=1
cd build
CC='ccache aarch64-linux-gnu-gcc' AR=aarch64-linux-gnu-ar RANLIB=aarch64-linux-gnu-ranlib \\
  ./Configure linux-aarch64 no-shared no-tests no-apps no-module no-docs --libdir=lib \\
  --prefix=/opt/matrixctl/openssl-3.5.7 --openssldir=/opt/matrixctl/openssl-3.5.7/ssl

make -j"$JOBS" build_sw
make DESTDIR=/work/stage install_sw
mv /work/stage/opt/matrixctl/openssl-3.5.7 /work/out/tls
"""

HAPROXY_ARM64 = """\
#!/bin/sh
# Builds HAProxy 3.0.11 for arm64 against openssl-3.5.7.
# Flags: INSTALL of HAProxy. ARCH_FLAGS is emptied of its default -g, which costs half of the time.
# Runs in /work without network; JOBS says how many compilers at once.
set -eu
cd /work
mkdir -p build out
tar -x -f src/haproxy-3.0.11.tar.gz -C build --strip-components=1
export CCACHE_DIR=/work/ccache CCACHE_MAXSIZE=200M CCACHE_BASEDIR=/work CCACHE_NOHASHDIR=1
cd build
make -j"$JOBS" IGNOREGIT=1 TARGET=linux-glibc ARCH_FLAGS= CC='ccache aarch64-linux-gnu-gcc' \\
  LD=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar USE_OPENSSL=1 USE_QUIC=1 USE_QUIC_OPENSSL_COMPAT=1 \\
  SSL_INC=/work/tls/include SSL_LIB=/work/tls/lib haproxy
cp haproxy /work/out/haproxy
"""


def script(recipe: Recipe, work: str = WORK) -> str:
    values = {name: getattr(recipe, name) for name in type(recipe).model_fields}
    return Renderer().render(recipe.template, {"work": work, **values})


def recipes() -> dict[str, Recipe]:
    made = planner().plan(cells())
    return {key: action.recipe for key, action in made.actions.items() if action.recipe}


def hostile(recipe: Recipe) -> Recipe:
    """Whatever a matrix or a sources file can say, in the worst way; names are the loader's to refuse."""
    return recipe.model_copy(
        update={
            "flags": HOSTILE,
            "prefix": f"{PREFIX}/{''.join(HOSTILE)}",
            "source": recipe.source.model_copy(update={"file": f"x{''.join(HOSTILE)}.tar.gz"}),
            "tls": recipe.tls.model_copy(update={"configure_flags": HOSTILE}),
        }
    )


@pytest.mark.parametrize(
    ("key", "golden"),
    [
        ("tls:openssl-3.5.7--arm64", OPENSSL_ARM64),
        ("haproxy:haproxy-3.0.11--openssl-3.5.7--arm64", HAPROXY_ARM64),
    ],
)
def test_golden_scripts(key: str, golden: str) -> None:
    assert script(recipes()[key]) == golden


def test_the_distros_library_needs_no_paths() -> None:
    text = script(recipes()["haproxy:haproxy-3.0.11--openssl-distro--amd64"])
    assert "SSL_INC" not in text
    assert text.endswith("USE_QUIC_OPENSSL_COMPAT=1 haproxy\ncp haproxy /work/out/haproxy\n")


@pytest.mark.parametrize("key", recipes())
@pytest.mark.parametrize("bad", [False, True])
def test_a_shell_accepts_every_script(key: str, *, bad: bool) -> None:
    recipe = recipes()[key]
    text = script(hostile(recipe) if bad else recipe)
    subprocess.run(["sh", "-n"], input=text.encode(), check=True, timeout=10)


# Stands for tar, make and Configure: writes its arguments, ended by NUL, to a file of its own name.
RECORDER = '#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done >> "$RECORD/${0##*/}"\ntouch haproxy\n'


def run(text: str, work: Path) -> dict[str, list[str]]:
    """Run a script with recorders in place of its tools; what each was given."""
    for name in ("bin/tar", "bin/make", "build/Configure", "bin/mv"):
        path = work / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECORDER)
        path.chmod(0o755)
    (work / "record").mkdir()
    environment = {"PATH": f"{work}/bin:{os.defpath}", "RECORD": str(work / "record"), "JOBS": "3"}
    subprocess.run(["sh"], input=text.encode(), cwd=work, env=environment, check=True, timeout=10)
    return {path.name: path.read_text().split("\0")[:-1] for path in (work / "record").iterdir()}


def test_hostile_values_reach_make_as_they_are_and_nothing_else_happens(tmp_path: Path) -> None:
    recipe = hostile(recipes()["haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"])
    given = run(script(recipe, str(tmp_path)), tmp_path)
    assert set(HOSTILE) <= set(given["make"])
    assert given["make"][-1] == "haproxy"
    assert given["make"][0] == "-j3"
    assert given["tar"][2] == f"src/{recipe.source.file}"
    assert (tmp_path / "out" / "haproxy").exists()
    assert not list(tmp_path.rglob("pwned"))


def test_hostile_values_reach_configure_as_they_are_and_nothing_else_happens(tmp_path: Path) -> None:
    recipe = hostile(recipes()["tls:openssl-3.5.7--arm64"])
    given = run(script(recipe, str(tmp_path)), tmp_path)
    assert set(HOSTILE) <= set(given["Configure"])
    assert f"--prefix={recipe.prefix}" in given["Configure"]
    assert given["mv"] == [f"{tmp_path}/stage{recipe.prefix}", f"{tmp_path}/out/tls"]
    assert not list(tmp_path.rglob("pwned"))


def test_flags_of_the_matrix_come_last_and_so_win() -> None:
    tls = TlsValue(
        name="mine", family="openssl", version="3.5.7", source="tarball", make_flags=("USE_QUIC=0",)
    )
    haproxy = HaproxyValue(name="mine", version="3.0.11", make_flags=("USE_QUIC=1", "DEBUG=-g"))
    chosen = cell()
    made = planner(catalog=CATALOG).plan(
        [type(chosen)(id="x", **{**chosen.axes, "tls": tls, "haproxy": haproxy})]  # type: ignore[arg-type]
    )
    recipe = made.actions["haproxy:haproxy-mine--mine--amd64"].recipe
    assert recipe is not None
    assert " USE_QUIC=1 USE_QUIC_OPENSSL_COMPAT=1 USE_QUIC=0 USE_QUIC=1 DEBUG=-g " in script(recipe)


def test_a_name_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Renderer().render("build/haproxy.sh.j2", {"work": WORK})


def test_an_overlay_comes_first_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "haproxy.sh.j2").write_text("{{ word | sh }}\n")
    assert Renderer(tmp_path).render("build/haproxy.sh.j2", {"word": "a b"}) == "'a b'\n"
    assert Renderer(tmp_path).source("build/openssl.sh.j2") == Renderer().source("build/openssl.sh.j2")


def test_a_template_cannot_reach_pythons_insides(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("{{ word.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        Renderer(tmp_path).render("x.j2", {"word": "a"})
