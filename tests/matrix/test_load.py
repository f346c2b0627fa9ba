"""Loading: the real file, pinned texts of faults, and nothing but a Matrix or a UsageError from any bytes."""

import hashlib
import json
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import resources
from orchestrator.errors import Exit, NothingSelectedError, UsageError
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.model import ExecutionValue, HaproxyValue, Matrix, TlsValue
from orchestrator.matrix.select import select

DEFAULT = resources.find_root() / "matrix.yaml"
AXES = """
axes:
  arch: [amd64]
  haproxy: ["3.0.11"]
  tls: [openssl-distro]
  cipher: [default]
"""
GOOD = f"version: 1{AXES}"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def faults(folder: Path, text: str | bytes) -> list[str]:
    """The lines of the error, without the file's name."""
    path = write(folder, text)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.exit_code is Exit.USAGE
    lines = caught.value.details.splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    assert caught.value.brief == f"{path}: {len(lines)} fault{'s' * (len(lines) != 1)}"
    return [line.removeprefix(f"{path}:") for line in lines]


def test_a_cpu_is_qemus_own_word(tmp_path: Path) -> None:
    given = '  execution: [default, aes-on, {name: old, cpu: "Haswell,-aes,vaes=off,+avx2"}]\n  cipher:'
    matrix = load(write(tmp_path, GOOD.replace("  cipher:", given)))
    assert matrix.axes["execution"] == (
        ExecutionValue(name="default"),
        ExecutionValue(name="aes-on", cpu="aes-on"),
        ExecutionValue(name="old", cpu="Haswell,-aes,vaes=off,+avx2"),
    )


def test_variables_are_kept_in_their_order(tmp_path: Path) -> None:
    cap = "~0x200000200000000:~0x20000"
    given = f'  execution: [{{name: m, environment: {{OPENSSL_ia32cap: "{cap}", OPENSSL_armcap: "0"}}}}]\n'
    matrix = load(write(tmp_path, GOOD.replace("  cipher:", f"{given}  cipher:")))
    assert matrix.axes["execution"] == (
        ExecutionValue(name="m", environment=(f"OPENSSL_ia32cap={cap}", "OPENSSL_armcap=0")),
    )


def test_the_default_matrix() -> None:
    matrix = load(DEFAULT)
    assert matrix.digest == hashlib.sha256(DEFAULT.read_bytes()).hexdigest()
    assert list(matrix.profiles) == ["quick", "nightly", "mission", "issue-2569"]
    assert (matrix.limits.build, matrix.limits.emulated) == (2400, 3)
    assert matrix.path == str(DEFAULT)


def test_lists_in_an_include_stand_for_as_many_includes(tmp_path: Path) -> None:
    text = (
        GOOD + "include: [{arch: [arm64, amd64], haproxy: [2.8.9, 3.2.0], tls: openssl-distro, cipher: %s}]\n"
    )
    matrix = load(write(tmp_path, text % "[default, TLS_AES_128_GCM_SHA256]"))
    assert [cell.id for cell in expand(matrix)][1:] == [
        f"{arch}--haproxy-{haproxy}--openssl-distro--{cipher}"
        for arch in ("arm64", "amd64")
        for haproxy in ("2.8.9", "3.2.0")
        for cipher in ("default", "TLS_AES_128_GCM_SHA256")
    ]
    spelled = load(write(tmp_path, text % "[default]"))
    assert spelled.include == load(write(tmp_path, text % "default")).include


def test_a_name_that_the_file_spells_out_means_that_value_in_every_section(tmp_path: Path) -> None:
    """In axes or in an include, before or after; a list may mix names, short forms and records."""
    axes = GOOD.replace('["3.0.11"]', '["3.0.11", {name: master, version: 3.4-dev1, make_flags: [DEBUG=-g]}]')
    text = (
        axes
        + """
include:
  - {arch: arm64, haproxy: master, tls: mine, cipher: default, execution: [old, aes-off]}
  - arch: arm64
    haproxy: [master, "3.0.11"]
    tls: {name: mine, family: openssl, version: 3.5.7, configure_flags: [no-asm]}
    cipher: default
    execution: {name: old, cpu: Haswell}
exclude: [{haproxy: master, tls: openssl-distro}]
expect: [{when: [haproxy=master, tls=mine], outcome: pass, because: "https://example.org/1"}]
"""
    )
    matrix = load(write(tmp_path, text))
    cells = expand(matrix)
    assert [cell.id.removesuffix("--default") for cell in cells] == [
        "amd64--haproxy-3.0.11--openssl-distro",
        "arm64--haproxy-master--mine--default--execution.old",
        "arm64--haproxy-master--mine--default--execution.aes-off",
        "arm64--haproxy-3.0.11--mine--default--execution.old",
    ]
    (master,) = {cell.haproxy for cell in cells if cell.haproxy.name == "master"}
    assert (master.version, master.make_flags) == ("3.4-dev1", ("DEBUG=-g",))
    assert {cell.tls.configure_flags for cell in cells[1:]} == {("no-asm",)}
    assert cells[1].execution.cpu == "Haswell"


def test_an_include_may_spell_out_an_execution_with_an_environment(tmp_path: Path) -> None:
    text = (
        GOOD
        + "include:\n"
        + "  - {arch: amd64, haproxy: 3.2.0, tls: openssl-distro, cipher: default,"
        + ' execution: {name: masked, environment: {OPENSSL_armcap: "0"}}}\n'
    )
    (cell,) = load(write(tmp_path, text)).include
    assert cell["execution"] == ExecutionValue(name="masked", environment=("OPENSSL_armcap=0",))


def test_a_matrix_of_includes_alone(tmp_path: Path) -> None:
    cells = "- {arch: %s, haproxy: 3.0.11, tls: openssl-distro, cipher: default}\n"
    matrix = load(write(tmp_path, "version: 1\ninclude:\n" + cells % "amd64" + cells % "arm64"))
    assert [cell.arch.name for cell in expand(matrix)] == ["amd64", "arm64"]
    assert matrix.notes == ()


def test_an_include_adds_a_cell_also_on_an_axis_that_the_file_leaves_out(tmp_path: Path) -> None:
    """GitHub would change the cell of curl."""
    text = (
        "include: [{arch: amd64, haproxy: 3.0.11, tls: openssl-distro, cipher: default, client: gtlsclient}]"
    )
    cells = expand(load(write(tmp_path, GOOD + text)))
    assert [cell.client.name for cell in cells] == ["curl", "gtlsclient"]


def test_entries_without_effect_are_named_with_their_line(tmp_path: Path) -> None:
    cell = "{arch: %s, haproxy: 3.0.11, tls: openssl-distro, cipher: default%s}"
    text = f"""{GOOD}
include:
  - {cell % ("amd64", "")}
  - {cell % ("arm64", "")}
  - {cell % ("[amd64, arm64]", "")}
  - {cell % ("[arm64, s390x]", "")}
  - {cell % ("amd64", ", client: gtlsclient")}
exclude:
  - {{arch: s390x}}
  - {{arch: amd64, tls: openssl-distro}}
  - {{haproxy: 3.0.11, arch: amd64, tls: openssl-distro}}
  - {{client: gtlsclient}}
"""
    path = write(tmp_path, text)
    late = "and an include is added after all excludes"
    assert [note.removeprefix(f"{path}:") for note in load(path).notes] == [
        "11:5: include[2]: adds nothing: its cells are in the matrix already",
        f"15:5: exclude[0]: removes nothing: `axes` has no arch s390x, {late}",
        "17:5: exclude[2]: removes nothing: exclude[1] does that already",
        f"18:5: exclude[3]: removes nothing: `axes` has no client gtlsclient, {late}",
    ]
    again = load(write(tmp_path, GOOD + "include:\n  - " + cell % ("amd64", "")))
    assert [note.removeprefix(f"{path}:") for note in again.notes] == [
        "8:5: include[0]: adds nothing: its cells are in the matrix already"
    ]


def test_an_axis_at_its_default_can_be_excluded(tmp_path: Path) -> None:
    matrix = load(write(tmp_path, GOOD + "exclude: [{client: curl}]"))
    assert (expand(matrix), matrix.notes) == ((), ())


def test_short_and_spelled_out_values_are_the_same_record(tmp_path: Path) -> None:
    short = load(write(tmp_path, GOOD))
    spelled = GOOD.replace('"3.0.11"', '{name: "3.0.11", version: "3.0.11"}').replace(
        "openssl-distro", "{name: openssl-distro, family: openssl, version: distro, source: distro}"
    )
    assert load(write(tmp_path, spelled)).axes == short.axes
    assert short.axes["haproxy"] == (HaproxyValue(name="3.0.11", version="3.0.11"),)
    assert short.axes["tls"] == (
        TlsValue(name="openssl-distro", family="openssl", version="distro", source="distro"),
    )


def test_a_family_with_a_dash_and_flags(tmp_path: Path) -> None:
    text = GOOD.replace(
        "[openssl-distro]",
        "[aws-lc-5.1.0, {name: mine, family: openssl, version: 3.5.7, configure_flags: [no-asm, --debug]}]",
    ).replace('["3.0.11"]', '[{name: debug, version: 3.0.11, make_flags: [DEBUG=-g, "ADDLIB=-lm"]}]')
    matrix = load(write(tmp_path, text))
    one, two = matrix.axes["tls"]
    assert isinstance(one, TlsValue)
    assert isinstance(two, TlsValue)
    assert (one.family, one.version, one.source) == ("aws-lc", "5.1.0", "tarball")
    assert two.configure_flags == ("no-asm", "--debug")
    assert [cell.id for cell in expand(matrix)] == [
        "amd64--haproxy-debug--aws-lc-5.1.0--default",
        "amd64--haproxy-debug--mine--default",
    ]


LINE = """USE_LUA=1 ARCH_FLAGS="-g -fsanitize=address" 51DEGREES_SRC='addons/51degrees/dummy/pattern'"""
"""As in HAProxy's own CI; what a shell would make of it stands below."""
FLAGS = ("USE_LUA=1", "ARCH_FLAGS=-g -fsanitize=address", "51DEGREES_SRC=addons/51degrees/dummy/pattern")


@pytest.mark.parametrize("written", [json.dumps(FLAGS), json.dumps(LINE)], ids=["list", "line"])
def test_flags_with_spaces_and_digits_as_a_list_or_as_a_line(tmp_path: Path, written: str) -> None:
    text = GOOD.replace('["3.0.11"]', f"[{{name: x, version: 3.0.11, make_flags: {written}}}]")
    (haproxy,) = load(write(tmp_path, text)).axes["haproxy"]
    assert isinstance(haproxy, HaproxyValue)
    assert haproxy.make_flags == FLAGS


@pytest.mark.parametrize("written", ['["CFLAGS=-g -O1", no-asm]', "'CFLAGS=\"-g -O1\" no-asm'"])
def test_a_configure_flag_may_have_spaces_as_well(tmp_path: Path, written: str) -> None:
    tls = f"[{{name: x, family: openssl, version: 3.5.7, configure_flags: {written}}}]"
    (library,) = load(write(tmp_path, GOOD.replace("[openssl-distro]", tls))).axes["tls"]
    assert isinstance(library, TlsValue)
    assert library.configure_flags == ("CFLAGS=-g -O1", "no-asm")


DEBIAN_S = HaproxyValue(name="distro", version="3.0.11", source="distro")
PRODUCT = GOOD.replace('"3.0.11"', "distro").replace("openssl-distro", "openssl-distro, openssl-3.5.7")
INCLUDED = "include: [{arch: amd64, haproxy: %s, tls: %s, cipher: default}]\n"


def test_distro_is_debian_s_own_haproxy_and_compares_as_its_upstream_version(tmp_path: Path) -> None:
    matrix = load(write(tmp_path, GOOD + INCLUDED % ("distro", "openssl-distro")))
    assert matrix.include[0]["haproxy"] == DEBIAN_S
    cells = expand(matrix)
    (one,) = [cell for cell in cells if cell.haproxy == DEBIAN_S]
    assert one.id == "amd64--haproxy-distro--openssl-distro--default"
    for text in ("haproxy=distro", "haproxy>=3.0.11", "haproxy<3.0.12", "haproxy=3.0..3.1"):
        assert one in select(cells, [text, "tls=openssl-distro"]), text
    with pytest.raises(NothingSelectedError):
        select([one], ["haproxy>3.0"])


def test_a_debian_that_moved_on_is_spelled_out(tmp_path: Path) -> None:
    text = '{name: newer, version: "3.0.12", source: distro}'
    matrix = load(write(tmp_path, GOOD + INCLUDED % (text, "openssl-distro")))
    assert matrix.include[0]["haproxy"] == HaproxyValue(name="newer", version="3.0.12", source="distro")


def test_what_an_exclude_removes_may_stand_beside_debian_s_haproxy(tmp_path: Path) -> None:
    for removed in ("{tls: openssl-3.5.7}", "{haproxy: distro, tls: openssl-3.5.7}"):
        matrix = load(write(tmp_path, f"{PRODUCT}exclude: [{removed}]\n"))
        assert matrix.axes["haproxy"] == (DEBIAN_S,)
    assert faults(tmp_path, PRODUCT + "exclude: [{tls: openssl-3.5.7, cipher: default}]\n")


def test_include_and_exclude_share_the_records_of_the_axes(tmp_path: Path) -> None:
    text = GOOD + "include: [{arch: arm64, haproxy: 3.2.0, tls: openssl-distro, cipher: default}]\n"
    matrix = load(write(tmp_path, text + "exclude: [{haproxy: 3.2.0}]\n"))
    assert [cell.arch.name for cell in expand(matrix)] == ["amd64", "arm64"]


def test_anchors_and_aliases_serve(tmp_path: Path) -> None:
    text = (
        GOOD + "include: [&one {arch: arm64, haproxy: 3.2.0, tls: openssl-distro, cipher: default}, *one]\n"
    )
    assert len(expand(load(write(tmp_path, text)))) == 2


def test_five_faults_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = """version: 1
axes:
  arch: [amd64, arm46]
  haproxy: [3.10, {name: x, version: "3.0.11", makeflags: []}]
  tls: [opensl-3.5.7]
  cipher: [default]
profils: {}
"""
    assert faults(tmp_path, text) == [
        (
            "3:17: axes.arch[1]: no arch 'arm46'; did you mean 'arm64'?"
            " (arch: amd64, arm64, armhf, i386, ppc64el, riscv64, s390x)"
        ),
        '4:13: axes.haproxy[0]: YAML reads 3.10 as the number 3.1; write it in quotes: "3.10"',
        (
            "4:48: axes.haproxy[1].makeflags: unknown key; did you mean 'make_flags'?"
            " (keys: name, family, version, make_flags, build_packages, runtime_packages, source, git,"
            " path, prebuilt, tarball, patches)"
        ),
        (
            "5:9: axes.tls[0]: 'opensl-3.5.7' is no <family>-<version>; did you mean 'openssl'?"
            " (family: openssl, libressl, quictls, aws-lc, wolfssl)"
        ),
        (
            "7:1: profils: unknown key; did you mean 'profiles'?"
            " (keys: version, axes, include, exclude, expect, profiles, limits)"
        ),
    ]


RULE = "letters, digits and . _ + -, a letter or digit first, no '--', at most 64 characters"

PINNED = {
    "a release without its version": (
        GOOD.replace('["3.0.11"]', "[{name: x, make_flags: [DEBUG=-g]}, {name: y, path: z}]"),
        [
            (
                "4:13: axes.haproxy[0]: the key 'version' is missing;"
                " only with git, path, prebuilt, tarball it is read from the source"
            )
        ],
    ),
    "two names of one id": (
        GOOD.replace('["3.0.11"]', '["3.0.11", {name: haproxy-3.0.11, version: "3.0.11"}]'),
        ["3:3: axes: haproxy '3.0.11' and 'haproxy-3.0.11' have the same ids"],
    ),
    "no axes": ("version: 1\n", ["1:1: (file): declares no cell; give `axes`, `include` or both"]),
    "no axes and no includes": (
        "version: 1\ninclude: []\n",
        ["1:1: (file): declares no cell; give `axes`, `include` or both"],
    ),
    "other tools' names of architectures": (
        GOOD.replace("[amd64]", "[x86_64, aarch64, armv7l, i686, linux/arm64, X64, i386-linux-gnu]"),
        [
            f"3:{column}: axes.arch[{number}]: no arch {given!r}; did you mean {ours!r}?"
            " (arch: amd64, arm64, armhf, i386, ppc64el, riscv64, s390x)"
            for number, (column, given, ours) in enumerate(
                (
                    (10, "x86_64", "amd64"),
                    (18, "aarch64", "arm64"),
                    (27, "armv7l", "armhf"),
                    (35, "i686", "i386"),
                    (41, "linux/arm64", "arm64"),
                    (54, "X64", "amd64"),
                    (59, "i386-linux-gnu", "i386"),
                )
            )
        ],
    ),
    "another tool's name in an exclude": (
        GOOD + "exclude: [{arch: x86_64}]",
        ["7:18: exclude[0].arch: no arch 'x86_64' in this file; did you mean 'amd64'?"],
    ),
    "nearly a name of this file": (
        GOOD.replace('["3.0.11"]', "[{name: master, version: 3.4-dev1}]")
        + "include: [{arch: arm64, haproxy: mastre, tls: openssl-distro, cipher: default, execution: [haswel]"
        + "},\n  {arch: arm64, haproxy: master, tls: openssl-distro, cipher: default,"
        + " execution: {name: haswell, cpu: Haswell}}]",
        [
            (
                "7:34: include[0].haproxy: 'mastre' is no version such as 3.0.11, 3.0-dev13 or 3.3.0-quic1"
                "; did you mean 'master'?"
            ),
            (
                "7:92: include[0].execution[0]: no execution 'haswel' (execution: default, aes-on, aes-off)"
                "; did you mean 'haswell'?"
            ),
        ],
    ),
    "axis missing": (
        GOOD.replace("  tls: [openssl-distro]\n", ""),
        ["3:3: axes: the key 'tls' is missing"],
    ),
    "other version": ("version: 2" + AXES, ["1:10: version: 2 is not 1"]),
    "not a mapping": ("[1, 2]", ["1:1: (file): a mapping belongs here, not a list"]),
    "float in a record": (
        GOOD.replace('["3.0.11"]', "[{name: x, version: 3.0}]"),
        ['4:32: axes.haproxy[0].version: YAML reads 3.0 as the number 3.0; write it in quotes: "3.0"'],
    ),
    "built-in CPU": (
        GOOD.replace("  cipher:", "  execution: [aes-onn, {name: aes-off, cpu: max}]\n  cipher:"),
        [
            (
                "6:15: axes.execution[0]: no execution 'aes-onn'; did you mean 'aes-on'?"
                " (execution: default, aes-on, aes-off)"
            ),
            "6:31: axes.execution[1].name: 'aes-off' is built in; give this CPU its own name",
        ],
    ),
    "CPU with a command": (
        GOOD.replace("  cipher:", '  execution: [{name: x, cpu: "max; ls"}, {name: y, c: max}]\n  cipher:'),
        [
            (
                "6:30: axes.execution[0].cpu: 'max; ls' is not allowed: a model of QEMU's, then properties"
                " as ,name=value or ,+name or ,-name"
            ),
            "6:52: axes.execution[1].c: unknown key; did you mean 'cpu'? (keys: name, cpu, environment)",
        ],
    ),
    "execution that says nothing": (
        GOOD.replace("  cipher:", "  execution: [{name: x}]\n  cipher:"),
        [
            (
                "6:15: axes.execution[0]: an execution with a name of its own needs a cpu, an environment,"
                " or both"
            ),
        ],
    ),
    "variable that is not on the list": (
        GOOD.replace(
            "  cipher:",
            "  execution: [{name: x, environment: {OPENSSL_armcapp: '0', LD_PRELOAD: x.so}}]\n  cipher:",
        ),
        [
            (
                "6:39: axes.execution[0].environment.OPENSSL_armcapp: 'OPENSSL_armcapp' cannot be set;"
                " did you mean 'OPENSSL_armcap'? (only masks of the CPU: OPENSSL_armcap, OPENSSL_ia32cap,"
                " OPENSSL_riscvcap, OPENSSL_s390xcap)"
            ),
            (
                "6:61: axes.execution[0].environment.LD_PRELOAD: 'LD_PRELOAD' cannot be set (only masks"
                " of the CPU: OPENSSL_armcap, OPENSSL_ia32cap, OPENSSL_riscvcap, OPENSSL_s390xcap)"
            ),
        ],
    ),
    "variable's value": (
        GOOD.replace(
            "  cipher:",
            "  execution: [{name: x, environment: {OPENSSL_armcap: 0x1d, OPENSSL_ia32cap: $(x)}}]\n  cipher:",
        ),
        [
            (
                "6:55: axes.execution[0].environment.OPENSSL_armcap: YAML reads 0x1d as the number 29;"
                ' write it in quotes: "0x1d"'
            ),
            (
                "6:78: axes.execution[0].environment.OPENSSL_ia32cap: '$(x)' is not allowed: digits, letters"
                " and ~ | : ; , . _ - as the library documents it"
            ),
        ],
    ),
    "spelled-out arch": (
        GOOD.replace("[amd64]", "[{name: amd64}]"),
        [
            (
                "3:10: axes.arch[0]: an arch is one record in orchestrator/arch.py and has a name alone here:"
                " amd64, arm64, armhf, i386, ppc64el, riscv64, s390x"
            )
        ],
    ),
    "duplicate key": (
        GOOD + "limits: {fetch: 1, fetch: 2}",
        ["7:20: limits.fetch: the key stands here twice"],
    ),
    "duplicate value": (
        GOOD.replace("[amd64]", "[amd64, arm64, amd64]"),
        ["3:24: axes.arch[2]: 'amd64' stands here twice"],
    ),
    "key that is no text": (GOOD + "1: x", ["7:1: (file): a key must be text, not '1'"]),
    "merge key": (GOOD + "<<: {limits: {}}", ["7:1: (file): a key must be text, not '<<'"]),
    "tag": (
        GOOD + "limits: !!python/object:os.system {}",
        ["7:9: limits: the YAML tag 'tag:yaml.org,2002:python/object:os.system' is not accepted"],
    ),
    "name with the separator": (
        GOOD.replace("[openssl-distro]", "[{name: a--b, family: openssl, version: 3.5.7}]"),
        [f"5:16: axes.tls[0].name: 'a--b' is not allowed: {RULE}"],
    ),
    "name for a shell": (
        GOOD.replace("[openssl-distro]", "['openssl-$(id)']"),
        [f"5:9: axes.tls[0]: 'openssl-$(id)' is not allowed: {RULE}"],
    ),
    "make flag for a shell": (
        GOOD.replace('["3.0.11"]', '[{name: x, version: 3.0.11, make_flags: ["DEBUG=-g;id", "X=$(id)"]}]'),
        [
            (
                "4:53: axes.haproxy[0].make_flags[0]: 'DEBUG=-g;id' is not allowed:"
                " NAME=VALUE, in VALUE letters, digits, spaces and _ . / + , : = -"
            ),
            (
                "4:68: axes.haproxy[0].make_flags[1]: 'X=$(id)' is not allowed:"
                " NAME=VALUE, in VALUE letters, digits, spaces and _ . / + , : = -"
            ),
        ],
    ),
    "line of flags for a shell": (
        GOOD.replace('["3.0.11"]', """[{name: x, version: 3.0.11, make_flags: "A='-g `id`' B=1"}]"""),
        [
            (
                "4:52: axes.haproxy[0].make_flags: 'A=-g `id`' is not allowed:"
                " NAME=VALUE, in VALUE letters, digits, spaces and _ . / + , : = -"
            )
        ],
    ),
    "line of flags with an open quote": (
        GOOD.replace('["3.0.11"]', """[{name: x, version: 3.0.11, make_flags: "A='-g"}]"""),
        ["""4:52: axes.haproxy[0].make_flags: "A='-g" is no line of flags: no closing quotation"""],
    ),
    "configure flag for a shell": (
        GOOD.replace(
            "[openssl-distro]",
            '[{name: x, family: openssl, version: 3.5.7, configure_flags: ["no-asm id", "CFLAGS=-g;id"]}]',
        ),
        [
            (
                "5:70: axes.tls[0].configure_flags[0]: 'no-asm id' is not allowed:"
                " letters, digits and _ . / + , : -, after a = spaces and = as well"
            ),
            (
                "5:83: axes.tls[0].configure_flags[1]: 'CFLAGS=-g;id' is not allowed:"
                " letters, digits and _ . / + , : -, after a = spaces and = as well"
            ),
        ],
    ),
    "package for a shell": (
        GOOD.replace('["3.0.11"]', '[{name: x, version: 3.0.11, build_packages: [zlib1g-dev, "x;id"]}]'),
        [
            (
                "4:69: axes.haproxy[0].build_packages[1]: 'x;id' is not allowed:"
                " a Debian package: small letters, digits and . + -, no - at the end"
            )
        ],
    ),
    "package to remove": (
        GOOD.replace('["3.0.11"]', "[{name: x, version: 3.0.11, build_packages: [libstdc++, zlib1g-dev-]}]"),
        [
            (
                "4:68: axes.haproxy[0].build_packages[1]: 'zlib1g-dev-' is not allowed:"
                " a Debian package: small letters, digits and . + -, no - at the end"
            )
        ],
    ),
    "no version": (
        GOOD.replace('"3.0.11"', "latest"),
        ["4:13: axes.haproxy[0]: 'latest' is no version such as 3.0.11, 3.0-dev13 or 3.3.0-quic1"],
    ),
    "no such package": (
        GOOD.replace("openssl-distro", "libressl-distro"),
        ["5:9: axes.tls[0]: the base image has no development package of libressl; only of openssl"],
    ),
    "source and version": (
        GOOD.replace("[openssl-distro]", "[{name: x, family: openssl, version: distro, source: tarball}]"),
        ["5:61: axes.tls[0].source: source tarball does not go with version distro"],
    ),
    "empty axis": (GOOD.replace("[amd64]", "[]"), ["3:9: axes.arch: the list is empty"]),
    "nothing behind a key": (
        GOOD + "include:\n  - {arch: amd64, haproxy: 3.0.11, cipher: default, tls: }\n",
        ["8:57: include[0].tls: text belongs here, not nothing"],
    ),
    "exclude of nothing": (
        GOOD + "exclude: [{tls: openssl-distr0}, {}]",
        [
            "7:17: exclude[0].tls: no tls 'openssl-distr0' in this file; did you mean 'openssl-distro'?",
            "7:34: exclude[1]: names no axis",
        ],
    ),
    "faults within an include's list": (
        GOOD
        + "include:\n  - {arch: [amd64, arm46], haproxy: [], tls: [[openssl-distro]], cipher: default}\n",
        [
            (
                "8:20: include[0].arch[1]: no arch 'arm46'; did you mean 'arm64'?"
                " (arch: amd64, arm64, armhf, i386, ppc64el, riscv64, s390x)"
            ),
            "8:37: include[0].haproxy: the list is empty",
            "8:47: include[0].tls[0]: text belongs here, not a list",
        ],
    ),
    "list in an incomplete include": (
        GOOD + "include: [{arch: [amd64, arm64], cipher: default}]",
        ["7:11: include[0]: adds cells of its own, and lacks their haproxy, tls"],
    ),
    "another record in an include's list": (
        GOOD
        + "include: [{tls: [openssl-distro, {name: openssl-distro, family: openssl, version: 3.5.7}], "
        + 'arch: amd64, haproxy: "3.0.11", cipher: default}]',
        ["7:17: include[0].tls: 'openssl-distro' is another value already; give this one its own name"],
    ),
    "Debian's HAProxy with another library": (
        GOOD + INCLUDED % ("distro", "[openssl-distro, openssl-3.5.7]"),
        [
            (
                "7:47: include[0].tls: Debian's HAProxy is linked with Debian's OpenSSL,"
                " not with openssl-3.5.7: name it in an include with tls: openssl-distro"
            )
        ],
    ),
    "Debian's HAProxy in a product": (
        PRODUCT,
        [
            (
                "4:13: axes.haproxy[0]: Debian's HAProxy is linked with Debian's OpenSSL,"
                " not with openssl-3.5.7: name it in an include with tls: openssl-distro"
            )
        ],
    ),
    "incomplete include": (
        GOOD + "include: [{cipher: default}, {arch: arm64, tls: openssl-3.5.7}]",
        [
            "7:11: include[0]: adds cells of its own, and lacks their arch, haproxy, tls",
            "7:30: include[1]: adds cells of its own, and lacks their haproxy, cipher",
        ],
    ),
    "one name, two values": (
        GOOD
        + "include: [{tls: {name: openssl-distro, family: openssl, version: 3.5.7},"
        + " arch: amd64, haproxy: 3.0.11, cipher: default}]",
        ["7:17: include[0].tls: 'openssl-distro' is another value already; give this one its own name"],
    ),
    "profiles": (
        GOOD + "profiles: {full: {filters: []}, quick: {filter: []}, q: {filters: ['tsl=x', arm64]}}",
        [
            "7:12: profiles.full: the profile 'full' is built in and has no filters; take another name",
            "7:40: profiles.quick: the key 'filters' is missing",
            "7:41: profiles.quick.filter: unknown key; did you mean 'filters'? (keys: filters)",
            (
                "7:68: profiles.q.filters[0]: filter 'tsl=x': no axis 'tsl'; did you mean 'tls'?;"
                " axes: arch, haproxy, tls, cipher, client, execution"
            ),
            (
                "7:77: profiles.q.filters[1]: filter 'arm64' cannot be read: it is not axis, operator, value;"
                " examples: arch=arm64   tls=openssl*   cipher!=default   'haproxy<3.2'   haproxy=3.0..3.1"
            ),
        ],
    ),
    "limits": (
        GOOD + 'limits: {fetch: "10", image: yes, build: 0, ready: .inf, request: .nan, emulated: 0.5}',
        [
            "7:17: limits.fetch: a number belongs here, not '10'",
            "7:30: limits.image: a number belongs here, not True",
            "7:42: limits.build: must be greater than 0",
            "7:52: limits.ready: must be at most 86400",
            "7:67: limits.request: must be at most 86400",
            "7:83: limits.emulated: must be at least 1",
        ],
    ),
    "sessions at once": (
        GOOD + "limits: {sessions: {arm65: 1, arm64: 0}}",
        [
            (
                "7:21: limits.sessions.arm65: no arch 'arm65'; did you mean 'arm64'? (arch: amd64, arm64,"
                " armhf, i386, ppc64el, riscv64, s390x)"
            ),
            "7:38: limits.sessions.arm64: must be at least 1",
        ],
    ),
    "too many cells": (
        GOOD.replace('["3.0.11"]', str([f"3.0.{number}" for number in range(1500)])).replace(
            "[openssl-distro]", str([f"openssl-3.5.{number}" for number in range(1000)])
        ),
        ["3:3: axes: 1500000 combinations; at most 1000000"],
    ),
    "too many cells of includes": (
        GOOD
        + "include:\n  - {arch: amd64, haproxy: 3.0.11, tls: openssl-distro, cipher: default}\n"
        + "  - {arch: amd64, cipher: default, haproxy: "
        + str([f"3.0.{number}" for number in range(1500)])
        + ", tls: "
        + str([f"openssl-3.5.{number}" for number in range(1000)])
        + "}\n",
        ["9:5: include[1]: 1500001 combinations up to here; at most 1000000"],
    ),
    "syntax": (
        "version: 1\naxes: [a, b\nx: 1",
        ["3:2: (file): not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)"],
    ),
}


@pytest.mark.parametrize("case", PINNED)
def test_pinned_faults(tmp_path: Path, case: str) -> None:
    text, expected = PINNED[case]
    assert faults(tmp_path, text) == expected


def test_places_that_hold_no_matrix(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    for name, message in {
        "missing.yaml": "cannot read the matrix: No such file or directory",
        ".": "cannot read the matrix: Is a directory",
        "empty.yaml": "the file is empty",
        "a\0b": "cannot read the matrix: ",
    }.items():
        with pytest.raises(UsageError) as caught:
            load(tmp_path / name)
        assert message in caught.value.brief


def bomb() -> str:
    lines = ["version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 9)]
    return "\n".join(lines)


def test_a_bomb_of_aliases_stops_early(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, bomb())
    assert fault.endswith("more than 50000 values, aliases included")


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00binary",
        b"\x7fELF\x02\x01\x01\x00",
        b"version: 1\x01",
        bomb().encode(),
        b"a: &a [*a]",
        b"&a {*a : 1}",
        b"[" * 1000,
        b"a: " * 50_000,
        b"? " * 10_000,
        b"x" * (300 * 1024),
        b"--- 1\n--- 2\n",
        b"%YAML 9.9\n--- 1",
        b"%YAML 1." + b"9" * 5000 + b"\n--- 1",
        b'"\\UFFFFFFFF"',
        b"version: 0b_",
        b"version: " + b"9" * 5000,
        b"version: 1:" + b"9" * 50,
        b"version: 2026-13-45",
        b"version: !!int x",
        b"version: !!timestamp x",
        b"version: !!binary x",
        b"version: !!bool x",
        b"version: !!float 1.2.3",
        b"? [a]\n: 1",
        b"? {a: 1}\n: 1",
        b"a: *b",
        b"\t",
        b"{",
        b"=: =",
        b"axes: !!str {}",
        b"axes: !!map []",
        b"axes: !!seq {a: b}",
        b"axes: !!seq x",
        b"!!map x",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_hostile_bytes(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, content))
    assert len(str(caught.value)) < 5000


PIECES = [
    *DEFAULT.read_text().split(),
    "\n",
    "\n  ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!",
    "3.10",
    "~",
]


def outcome(content: bytes) -> Matrix | None:
    with TemporaryDirectory() as folder:
        with suppress(UsageError):
            return load(write(Path(folder), content))
        return None


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=80))
def test_any_text_is_a_matrix_or_an_error_for_people(text: str) -> None:
    outcome(text.encode())


@given(st.binary(max_size=80))
def test_any_bytes_are_no_traceback(content: bytes) -> None:
    outcome(content)


@given(st.data())
def test_a_mutated_default_matrix_is_a_matrix_or_an_error(data: st.DataObject) -> None:
    content = DEFAULT.read_text()
    start = data.draw(st.integers(0, len(content)))
    end = min(len(content), start + data.draw(st.integers(0, 12)))
    put = data.draw(st.sampled_from(PIECES) | st.text(max_size=5))
    outcome((content[:start] + put + content[end:]).encode())


PARSED = yaml.safe_load(DEFAULT.read_text())
junk: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(PIECES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_anywhere_is_a_matrix_or_an_error(data: st.DataObject) -> None:
    """Well-formed YAML with one part exchanged for another: what text mutations hardly ever reach."""
    root = deepcopy(PARSED)
    tls = {"name": "x", "family": "openssl", "version": "3.5.7"}
    root["include"] += [{"arch": "amd64", "haproxy": "3.0.11", "tls": tls, "cipher": "default"}]
    root["exclude"] = [{"arch": "amd64", "cipher": "default"}]
    inner = root
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        child = inner[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            break
        inner = child
    inner[key] = data.draw(junk)
    matrix = outcome(yaml.safe_dump(root, allow_unicode=True).encode())
    if matrix is not None:
        expand(matrix)
