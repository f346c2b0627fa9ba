"""Build scripts: golden texts, accepted by a shell, and no value of a matrix breaks out of them."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import plan_samples
import pytest
from fakes import cell
from hostile import CORPUS, Hostile, executed
from jinja2 import UndefinedError
from jinja2.exceptions import SecurityError
from plan_samples import CATALOG, cells, planner, source

from orchestrator import resources
from orchestrator.errors import UsageError
from orchestrator.execute.engine.engine import WORK
from orchestrator.execute.images import dockerfiles
from orchestrator.matrix.catalog import Catalog, Source, load_catalog
from orchestrator.matrix.model import HaproxyValue, Patch, TlsValue
from orchestrator.plan.action import PREFIX, Recipe
from orchestrator.plan.render import Renderer

HOSTILE = tuple(value.text for value in CORPUS if value.text.isprintable() and len(value.text) < 1000)
UNPRINTABLE = tuple(value for value in CORPUS if not value.text.isprintable())

LIBRARIES = {
    (name, version): source(name, version)
    for name, version in (
        ("openssl", "3.0.22"),
        ("quictls", "3.3.0-quic1"),
        ("libressl", "3.9.2"),
        ("aws-lc", "5.1.0"),
        ("wolfssl", "5.7.2"),
    )
}

EXPLAIN = Renderer().render("build/explain.sh.j2", {"work": WORK})

ONE_FOLDER = """\
only=$(find build -mindepth 1 -maxdepth 1)
if [ -d "$only" ]; then
  echo 'matrixctl: error: the archive has a folder more around its files: raise its "strip" in --sources' >&2
  exit 1
fi
"""

KEEP_ARM64 = """\
cd /work
mkdir -p out/tls/lib
mv stage/opt/matrixctl/{name}/include out/tls/
mv stage/opt/matrixctl/{name}/lib/*.a out/tls/lib/
for archive in out/tls/lib/*.a; do
  printf '\\0%s/%s\\0' /opt/matrixctl/{name} "${{archive#out/tls/}}" > mark
  aarch64-linux-gnu-objcopy -D --add-section .rodata.matrixctl=mark \\
    --set-section-flags .rodata.matrixctl=alloc,load,readonly,data "$archive"
done
"""

OPENSSL_ARM64 = f"""\
#!/bin/sh
# Builds openssl 3.5.7 for arm64, statically, with a prefix of its own: the prefix
# stands in the library and later proves which library a HAProxy binary really holds.
# Options: INSTALL.md of OpenSSL. Runs in /work without network; JOBS says how many compilers at once.
set -eu
{EXPLAIN}cd /work
mkdir -p build out
tar -x -f src/openssl-3.5.7.tar.gz -C build --strip-components=1
{ONE_FOLDER}export CCACHE_DIR=/work/ccache CCACHE_MAXSIZE=400M CCACHE_BASEDIR=/work CCACHE_NOHASHDIR=1
cd build
step=configuring
# Since 3.0 a provider can be a file of its own, which nobody installs; 1.1.1 refuses the option.
no_module=$(grep -q '"module"' Configure && echo no-module) || :
CC='ccache aarch64-linux-gnu-gcc' AR=aarch64-linux-gnu-ar RANLIB=aarch64-linux-gnu-ranlib \\
  ./Configure linux-aarch64 no-shared no-tests $no_module --libdir=lib \\
  --prefix=/opt/matrixctl/openssl-3.5.7 --openssldir=/opt/matrixctl/openssl-3.5.7/ssl
step=compiling
make -j"$JOBS" build_libs
step=installing
make DESTDIR=/work/stage install_dev
{KEEP_ARM64.format(name="openssl-3.5.7")}"""

HAPROXY_ARM64 = f"""\
#!/bin/sh
# Builds HAProxy 3.0.11 for arm64 against openssl-3.5.7.
# Flags: INSTALL of HAProxy. ARCH_FLAGS, and before 3.0 DEBUG_CFLAGS, lose their default -g: half of the time.
# Runs in /work without network; JOBS says how many compilers at once.
set -eu
{EXPLAIN}cd /work
mkdir -p build out
tar -x -f src/haproxy-3.0.11.tar.gz -C build --strip-components=1
{ONE_FOLDER}export CCACHE_DIR=/work/ccache CCACHE_MAXSIZE=200M CCACHE_BASEDIR=/work CCACHE_NOHASHDIR=1
cd build
step=compiling
make -j"$JOBS" IGNOREGIT=1 TARGET=linux-glibc ARCH_FLAGS= DEBUG_CFLAGS= CC='ccache aarch64-linux-gnu-gcc' \\
  LD=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar USE_OPENSSL=1 USE_QUIC=1 USE_QUIC_OPENSSL_COMPAT=1 \\
  SSL_INC=/work/tls/include SSL_LIB=/work/tls/lib haproxy
cp haproxy /work/out/haproxy
"""


def script(recipe: Recipe, work: str = WORK) -> str:
    return Renderer().render(recipe.template, recipe.list_values(work))


def recipes() -> dict[str, Recipe]:
    made = planner(catalog=Catalog(sources={**CATALOG.sources, **LIBRARIES})).plan(
        cells(tls=("openssl-distro", "openssl-3.5.7", *(f"{name}-{version}" for name, version in LIBRARIES)))
    )
    return plan_samples.recipes(made)


def source_of(recipe: Recipe) -> Source:
    assert recipe.source is not None
    return recipe.source


def hostile(recipe: Recipe) -> Recipe:
    """Whatever a matrix or a sources file can say, in the worst way; names are the loader's to refuse."""
    return recipe.model_copy(
        update={
            "flags": HOSTILE,
            "prefix": f"{PREFIX}/{''.join(HOSTILE)}",
            "source": source_of(recipe).model_copy(update={"file": f"x{''.join(HOSTILE)}.tar.gz"}),
            "tls": recipe.tls.model_copy(update={"configure_flags": HOSTILE}),
            "patches": (Patch(name="".join(HOSTILE), sha256="0" * 64, path="/nowhere"),),
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


def test_patches_are_applied_in_their_order_right_after_unpacking() -> None:
    recipe = recipes()["tls:openssl-3.5.7--arm64"]
    patches = [Patch(name=f"{name}.diff", sha256=name * 64, path=f"/x/{name}.diff") for name in "ba"]
    lines = script(recipe.model_copy(update={"patches": tuple(patches)})).splitlines()
    at = max(number for number, line in enumerate(lines) if line == ONE_FOLDER.splitlines()[-1])
    assert lines[at + 1 : at + 8] == [
        f"echo 'matrixctl: applying the patch b.diff, SHA-256 {'b' * 64}'",
        "patch -d build -p1 --batch --forward --no-backup-if-mismatch -i /work/patches/b.diff ||",
        "  { echo 'matrixctl: the patch b.diff does not apply'; exit 1; }",
        f"echo 'matrixctl: applying the patch a.diff, SHA-256 {'a' * 64}'",
        "patch -d build -p1 --batch --forward --no-backup-if-mismatch -i /work/patches/a.diff ||",
        "  { echo 'matrixctl: the patch a.diff does not apply'; exit 1; }",
        "export CCACHE_DIR=/work/ccache CCACHE_MAXSIZE=400M CCACHE_BASEDIR=/work CCACHE_NOHASHDIR=1",
    ]


def test_the_distros_library_needs_no_paths() -> None:
    text = script(recipes()["haproxy:haproxy-3.0.11--openssl-distro--amd64"])
    assert "SSL_INC" not in text
    assert text.endswith("USE_QUIC_OPENSSL_COMPAT=1 haproxy\ncp haproxy /work/out/haproxy\n")


@pytest.mark.parametrize("key", recipes())
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.whole
def test_a_shell_accepts_every_script(key: str, *, bad: bool) -> None:
    recipe = recipes()[key]
    text = script(hostile(recipe) if bad else recipe)
    subprocess.run(["sh", "-n"], input=text.encode(), check=True, timeout=10)


# Stands for a build's tools: writes its arguments, ended by NUL, to a file of its own name.
RECORDER = '#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done >> "$RECORD/${0##*/}"\ntouch haproxy\n'
TOOLS = ("tar", "make", "patch", "mv", "cmake", "ninja", "aarch64-linux-gnu-objcopy")
TREE = ("Configure", "configure")


def run(text: str, work: Path, tree: tuple[str, ...] = TREE) -> dict[str, list[str]]:
    """Run a script with recorders in place of its tools; what each was given."""
    for name in (*(f"bin/{name}" for name in TOOLS), *(f"build/{name}" for name in tree)):
        path = work / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECORDER)
        path.chmod(0o755)
    (work / "build").mkdir(exist_ok=True)
    (work / "record").mkdir()
    environment = {"PATH": f"{work}/bin:{os.defpath}", "RECORD": str(work / "record"), "JOBS": "3"}
    subprocess.run(
        ["sh"], input=text.encode(), cwd=work, env=environment, check=True, timeout=10, capture_output=True
    )
    return {path.name: path.read_text().split("\0")[:-1] for path in (work / "record").iterdir()}


def test_hostile_values_reach_make_as_they_are_and_nothing_else_happens(tmp_path: Path) -> None:
    recipe = hostile(recipes()["haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"])
    given = run(script(recipe, str(tmp_path)), tmp_path)
    assert set(HOSTILE) <= set(given["make"])
    assert given["make"][-1] == "haproxy"
    assert given["make"][0] == "-j3"
    assert given["tar"][2] == f"src/{source_of(recipe).file}"
    assert (tmp_path / "out" / "haproxy").exists()
    assert not executed(tmp_path)


def test_a_flag_with_spaces_is_one_argument_of_make(tmp_path: Path) -> None:
    flags = ("ARCH_FLAGS=-g -fsanitize=address", "51DEGREES_SRC=addons/51degrees/dummy/pattern")
    recipe = recipes()["haproxy:haproxy-3.0.11--openssl-distro--amd64"].model_copy(update={"flags": flags})
    given = run(script(recipe, str(tmp_path)), tmp_path)["make"]
    assert tuple(given[-3:]) == (*flags, "haproxy")


CONFIGURED_BY = {
    "openssl-3.5.7": ("Configure", "--prefix="),
    "quictls-3.3.0-quic1": ("Configure", "--prefix="),
    "libressl-3.9.2": ("configure", "--prefix="),
    "wolfssl-5.7.2": ("configure", "--prefix="),
    "aws-lc-5.1.0": ("cmake", "-DCMAKE_INSTALL_PREFIX="),
}


@pytest.mark.parametrize("name", CONFIGURED_BY)
def test_hostile_values_reach_configure_as_they_are_and_nothing_else_happens(
    tmp_path: Path, name: str
) -> None:
    recipe = hostile(recipes()[f"tls:{name}--arm64"])
    given = run(script(recipe, str(tmp_path)), tmp_path)
    tool, option = CONFIGURED_BY[name]
    # The matrix's own flags come last, so they win.
    assert tuple(given[tool][-len(HOSTILE) :]) == HOSTILE
    assert f"{option}{recipe.prefix}" in given[tool]
    assert given["patch"][-1] == f"{tmp_path}/patches/{recipe.patches[0].name}"
    assert given["mv"][0] == f"stage{recipe.prefix}/include"
    assert given["aarch64-linux-gnu-objcopy"][-1] == "out/tls/lib/*.a"
    assert (tmp_path / "mark").read_text() == f"\0{recipe.prefix}/lib/*.a\0"
    assert not executed(tmp_path)


CONFIGURES = sorted(Path(__file__).with_name("configure").glob("openssl-*.txt"))
"""What each version's Configure can switch off: its own list (@disablables), as it stands in the release."""


@pytest.mark.parametrize("known", CONFIGURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["openssl-3.5.7", "quictls-3.3.0-quic1"])
def test_a_version_is_told_to_leave_out_what_it_knows_and_nothing_else(
    tmp_path: Path, name: str, known: Path
) -> None:
    options = known.read_text().split()
    configure = tmp_path / "build" / "Configure"
    configure.parent.mkdir()
    configure.write_text(RECORDER + "".join(f'#    "{option}",\n' for option in options))
    configure.chmod(0o755)
    given = run(script(recipes()[f"tls:{name}--arm64"], str(tmp_path)), tmp_path, tree=())["Configure"]
    left_out = {argument.removeprefix("no-") for argument in given if argument.startswith("no-")}
    assert left_out <= set(options), "Configure ends with: Unsupported options"
    assert left_out == {"shared", "tests", "module"} & set(options)


OTHER_CONFIGURES = sorted(
    path for path in Path(__file__).with_name("configure").glob("*.txt") if path not in CONFIGURES
)
"""What those of other families take: names of --enable-, --disable- and --with-, or CMake's options, and what
autotools bring to each; they only warn of a name that they do not know, and go on without it."""
SAYS = re.compile(r"--(?:enable|disable|with|without)-([a-z0-9-]+)(?:=.*)?|-D((?!CMAKE_)[A-Z_]+)=.*")


@pytest.mark.parametrize("known", OTHER_CONFIGURES, ids=lambda path: path.stem)
def test_no_other_configure_is_told_what_it_does_not_know(tmp_path: Path, known: Path) -> None:
    family = known.stem.rpartition("-")[0]
    name = next(name for name in CONFIGURED_BY if name.startswith(family))
    given = run(script(recipes()[f"tls:{name}--arm64"], str(tmp_path)), tmp_path)[CONFIGURED_BY[name][0]]
    said = {found[1] or found[2] for found in map(SAYS.fullmatch, given) if found}
    assert said
    assert said <= set(known.read_text().split())


def test_every_openssl_of_the_sources_has_its_configure_here() -> None:
    catalog = load_catalog([resources.find_root() / "sources.yaml"])
    versions = {version for family, version in catalog.sources if family == "openssl"}
    assert {path.stem for path in CONFIGURES} == {f"openssl-{version}" for version in versions}


@pytest.mark.parametrize(("name", "arch"), [("libressl-3.9.2", "arm64"), ("wolfssl-5.7.2", "amd64")])
def test_configure_is_told_both_machines_and_so_tries_no_program(
    tmp_path: Path, name: str, arch: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "x86_64-linux-gnu-objcopy").symlink_to("aarch64-linux-gnu-objcopy")
    given = run(script(recipes()[f"tls:{name}--{arch}"], str(tmp_path)), tmp_path)["configure"]
    gnu = {"arm64": "aarch64-linux-gnu", "amd64": "x86_64-linux-gnu"}[arch]
    assert {"--build=x86_64-linux-gnu", f"--host={gnu}", f"CC=ccache {gnu}-gcc"} <= set(given)
    assert {"--enable-static", "--disable-shared", f"--libdir=/opt/matrixctl/{name}/lib"} <= set(given)


def test_a_tag_of_wolfssl_has_no_configure_and_makes_one(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "autogen.sh").write_text("#!/bin/sh\ncp ../bin/make configure\n")
    (tmp_path / "build" / "autogen.sh").chmod(0o755)
    given = run(script(recipes()["tls:wolfssl-5.7.2--arm64"], str(tmp_path)), tmp_path, tree=())
    assert "--enable-quic" in given["configure"]


def test_a_git_tree_of_libressl_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "build.log").touch()
    text = script(recipes()["tls:libressl-3.9.2--arm64"], str(tmp_path))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(text, tmp_path, tree=())
    assert "take a release tarball" in caught.value.stderr.decode()


def failing(name: str, tmp_path: Path, **tools: str) -> list[str]:
    """The end of the log of a build whose tools do what is said here, as the report will show it."""
    for place in ("bin", "build"):
        (tmp_path / place).mkdir()
    scripts = {"bin/tar": "true", "build/configure": "true", "build/Configure": "true", **tools}
    for path, text in scripts.items():
        (tmp_path / path).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / path).chmod(0o755)
    log = tmp_path / "build.log"
    with log.open("wb") as out:
        done = subprocess.run(
            ["sh"],
            input=script(recipes()[f"tls:{name}--arm64"], str(tmp_path)).encode(),
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}/bin:{os.defpath}", "JOBS": "2"},
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=10,
        )
    assert done.returncode == 7
    return log.read_text().splitlines()[-25:]


def test_a_log_ends_with_the_compilers_error_though_others_went_on(tmp_path: Path) -> None:
    make = "echo 'ssl/quic.c:12:3: error: no such thing'; seq 100 | sed 's/^/gcc -c /'; exit 7"
    tail = failing("openssl-3.5.7", tmp_path, **{"bin/make": make})
    assert "matrixctl: failed while compiling, exit code 7; errors found in build.log:" in tail
    assert tail[-1] == "1:ssl/quic.c:12:3: error: no such thing"


def test_a_log_ends_with_what_configure_wrote_down(tmp_path: Path) -> None:
    wrote = "conftest.c:9: fatal error: foo.h: No such file\\n\\n## Cache variables. ##\\nac_cv_x=no\\n"
    configure = f"printf '{wrote}' > config.log; echo 'configure: error: no working compiler'; exit 7"
    tail = failing("libressl-3.9.2", tmp_path, **{"build/configure": configure})
    assert tail[-4:] == [
        "matrixctl: the end of build/config.log:",
        "conftest.c:9: fatal error: foo.h: No such file",
        "matrixctl: failed while configuring, exit code 7; errors found in build.log:",
        "1:configure: error: no working compiler",
    ]


def test_flags_of_the_matrix_come_last_and_so_win() -> None:
    tls = TlsValue(
        name="mine", family="openssl", version="3.5.7", source="tarball", make_flags=("USE_QUIC=0",)
    )
    haproxy = HaproxyValue(name="mine", version="3.0.11", make_flags=("USE_QUIC=1", "DEBUG=-g"))
    chosen = cell()
    made = planner(catalog=CATALOG).plan(
        [type(chosen)(id="x", **{**chosen.axes, "tls": tls, "haproxy": haproxy})]  # type: ignore[arg-type]
    )
    recipe = plan_samples.recipes(made)["haproxy:haproxy-mine--mine--amd64"]
    assert " USE_QUIC=1 USE_QUIC_OPENSSL_COMPAT=1 USE_QUIC=0 USE_QUIC=1 DEBUG=-g " in script(recipe)


@pytest.mark.parametrize("value", UNPRINTABLE, ids=lambda value: value.name)
@pytest.mark.whole
def test_no_value_brings_a_line_of_its_own(value: Hostile) -> None:
    recipe = recipes()["haproxy:haproxy-3.0.11--openssl-3.5.7--arm64"]
    with pytest.raises(UsageError, match="a line break or an unprintable character"):
        script(recipe.model_copy(update={"flags": (value.text,)}))
    with pytest.raises(UsageError, match="a line break or an unprintable character"):
        dockerfiles.render_base(value.text)


@pytest.mark.parametrize(
    "value", [value for value in CORPUS if "{" in value.text], ids=lambda value: value.name
)
def test_a_value_is_never_a_template(value: Hostile, tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("{{ word | sh }}")
    if not value.text.isprintable():
        pytest.skip("refused, see above")
    made = Renderer(tmp_path).render("x.j2", {"word": value.text})
    assert shlex.split(made) == [value.text]


def test_a_name_that_nobody_defined_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Renderer().render("build/haproxy.sh.j2", {"work": WORK})


def test_an_overlay_comes_first_and_the_rest_stays(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "haproxy.sh.j2").write_text("{{ word | sh }}\n")
    assert Renderer(tmp_path).render("build/haproxy.sh.j2", {"word": "a b"}) == "'a b'\n"
    assert Renderer(tmp_path).read_source("build/openssl.sh.j2") == Renderer().read_source(
        "build/openssl.sh.j2"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ word.__class__.__mro__ }}",
        "{{ word['__class__'] }}",
        "{{ word | attr('__class__') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(word) }}",
        "{{ words.append(1) }}",
    ],
)
def test_a_template_cannot_reach_pythons_insides(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text(text)
    with pytest.raises((SecurityError, UndefinedError)):
        Renderer(tmp_path).render("x.j2", {"word": "a", "words": []})


@pytest.mark.parametrize(("folders", "strip", "whole"), [(1, 1, True), (2, 1, False), (2, 2, True)])
def test_an_archive_with_a_folder_too_many_is_said_to_have_one(
    tmp_path: Path, folders: int, strip: int, whole: bool
) -> None:
    inner = tmp_path / "tree" / "/".join(["lib-1"] * folders)
    inner.mkdir(parents=True)
    for name in ("configure", "README"):
        (inner / name).touch()
    (tmp_path / "src").mkdir()
    subprocess.run(["tar", "-cf", tmp_path / "src" / "lib.tar", "-C", tmp_path / "tree", "lib-1"], check=True)
    values = {"work": str(tmp_path), "source": {"file": "lib.tar", "strip": strip}, "patches": ()}
    script = "set -eu\n" + Renderer().render("build/unpack.sh.j2", values)
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode == 0) is whole
    assert ('raise its "strip"' in done.stderr) is not whole
    assert (tmp_path / "build" / "configure").exists() is whole
