import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cli_samples import cells, matrixctl, process
from click.testing import CliRunner, Result

from orchestrator.cli.main import main

MATRIX = """\
version: 1
axes:
  arch: [amd64, arm64]
  haproxy: ["3.0.11", "3.1.9", "3.2.0"]
  tls: [openssl-distro, openssl-3.5.7]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_AES_128_CCM_SHA256, default]
profiles:
  quick: {filters: ["tls=openssl-distro"]}
"""


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    path = tmp_path / "matrix.yaml"
    path.write_text(MATRIX)
    return str(path)


def invoke(*args: str, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(main, args)


def ids(matrix: str, *args: str) -> list[str]:
    result = invoke("cells", "--matrix", matrix, "--format", "ids", *args)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def column(found: Sequence[str], place: int) -> set[str]:
    return {one.split("--")[place] for one in found}


def test_all_cells_of_the_matrix_that_travels_with_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("cells", "--format", "ids").stdout.splitlines() == [cell.id for cell in cells()]


def test_a_variable_that_changes_nothing_is_told_with_its_cells(tmp_path: Path) -> None:
    """A mask that nothing reads would look like a CPU that makes no difference."""
    masked = "  execution: [default, {name: masked, environment: {OPENSSL_armcap: '0'}}]\n"
    text = MATRIX.replace("openssl-3.5.7", "libressl-3.9.2").replace("profiles:", f"{masked}profiles:")
    (tmp_path / "m.yaml").write_text(text)
    found = invoke("cells", "--matrix", str(tmp_path / "m.yaml"), "--filter", "haproxy=3.0.11", columns=500)
    assert found.exit_code == 0, found.output
    assert found.stderr == (
        "warning: execution masked sets OPENSSL_armcap, which changes nothing in 9 cells: openssl-distro on"
        " amd64, libressl-3.9.2 on amd64, libressl-3.9.2 on arm64\n"
    )
    some = ("--filter", "arch=arm64", "--filter", "tls=openssl*", "--filter", "haproxy=3.0.11")
    assert invoke("cells", "--matrix", str(tmp_path / "m.yaml"), *some).stderr == ""


@pytest.mark.parametrize(
    ("filters", "place", "left"),
    [
        (["arch=arm64"], 0, {"arm64"}),
        (["arch!=arm64"], 0, {"amd64"}),
        (["tls=openssl*"], 2, {"openssl-distro", "openssl-3.5.7"}),
        (["cipher=*GCM*,default"], 3, {"TLS_AES_128_GCM_SHA256", "default"}),
        (["haproxy<3.2"], 1, {"haproxy-3.0.11", "haproxy-3.1.9"}),
        (["haproxy=..3.1"], 1, {"haproxy-3.0.11", "haproxy-3.1.9"}),
        (["haproxy=3.1.."], 1, {"haproxy-3.1.9", "haproxy-3.2.0"}),
        (["haproxy=..3.1", "haproxy=3.1.."], 1, {"haproxy-3.1.9"}),
    ],
)
def test_filters_as_the_contract_writes_them(
    matrix: str, filters: list[str], place: int, left: set[str]
) -> None:
    args = [part for text in filters for part in ("--filter", text)]
    assert column(ids(matrix, *args), place) == left


def test_a_profile_is_narrowed_by_filters(matrix: str) -> None:
    found = ids(matrix, "--profile", "quick", "--filter", "arch=arm64", "--filter", "haproxy=3.2.0")
    assert column(found, 2) == {"openssl-distro"}
    assert len(found) == 3


def test_cells_by_id(matrix: str) -> None:
    one, two = ids(matrix)[3], ids(matrix)[5]
    assert ids(matrix, "--cell", two, "--cell", one) == [one, two]


def test_json_spells_records_out_and_says_what_is_unsupported(matrix: str) -> None:
    result = invoke("cells", "--matrix", matrix, "--format", "json", "--filter", "haproxy=3.0.11")
    found = {entry["id"]: entry for entry in json.loads(result.stdout)}
    good = found["arm64--haproxy-3.0.11--openssl-distro--TLS_AES_128_GCM_SHA256"]
    assert good["axes"]["arch"]["arch"]["machine"] == "aarch64"
    assert good["axes"]["tls"]["source"] == "distro"
    client = good["axes"]["client"]
    assert (client["name"], client["family"], client["where"]) == ("curl", "curl", [])
    assert "unsupported" not in good
    bad = found["arm64--haproxy-3.0.11--openssl-distro--TLS_AES_128_CCM_SHA256"]
    assert bad["unsupported"]["reason"] == "client-cannot-offer"
    assert "CCM" in bad["unsupported"]["message"]


def test_the_table_fits_eighty_columns_without_breaking_a_row(matrix: str) -> None:
    lines = invoke("cells", "--matrix", matrix, "--filter", "arch=arm64").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if "3.1.9" in line and "openssl-distro" in line and "CCM" in line]
    assert row.split() == ["arm64", "3.1.9", "openssl-distro", "TLS_AES_128_CCM_SHA256", "[1]"]
    assert sum(line.startswith("[1] client-cannot-offer: ") for line in lines) == 1
    assert lines[-1] == "18 cells, 6 of them unsupported"


def test_two_hundred_columns_have_room_for_ids(matrix: str) -> None:
    lines = invoke("cells", "--matrix", matrix, columns=200).stdout.splitlines()
    assert lines[0].split()[0] == "id"
    assert [line.split()[0] for line in lines[1:37]] == ids(matrix)


def test_stdout_has_the_answer_and_nothing_else(tmp_path: Path) -> None:
    done = process("cells", "--profile", "quick", "--format", "ids", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 20


@pytest.mark.parametrize("form", ["ids", "json", "table"])
def test_a_reader_that_leaves_is_nothing_to_talk_of(tmp_path: Path, form: str) -> None:
    call = f"{sys.executable} -m orchestrator cells --format {form}"
    first = f"{call} | head -1" if form == "table" else "echo"
    done = subprocess.run(
        ["bash", "-c", f'{first}; {call} | true; echo "${{PIPESTATUS[0]}}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    head, code = done.stdout.splitlines()
    assert done.stderr == ""
    assert head.startswith("arch") is (form == "table")
    assert code == "141"  # as of any program that a closed pipe ends


def test_an_exclude_without_effect_is_said_before_a_run(matrix: str) -> None:
    path = Path(matrix)
    path.write_text(path.read_text() + "exclude:\n  - {haproxy: 3.2.0, client: gtlsclient}\n")
    refused = invoke("cells", "--matrix", matrix)
    assert "exclude[0].client: no client 'gtlsclient' in this file" in refused.stderr
    path.write_text(MATRIX + "exclude:\n  - {arch: arm64}\n  - {arch: arm64, haproxy: 3.2.0}\n")
    done = invoke("cells", "--matrix", matrix, "--format", "ids", columns=300)
    assert column(done.stdout.splitlines(), 0) == {"amd64"}
    told = f"warning: {matrix}:11:5: exclude[1]: removes nothing: exclude[0] does that already"
    assert done.stderr.splitlines()[0] == told


def test_a_filter_with_another_tools_name_of_an_architecture(matrix: str) -> None:
    done = invoke("cells", "--matrix", matrix, "--filter", "arch=aarch64")
    assert done.exit_code == 2
    assert "no cell has arch 'aarch64'; did you mean 'arm64'?" in done.stderr


def test_a_version_without_a_source_is_said_before_a_run_and_sources_are_read(
    matrix: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    entry = "{file: h.tgz, sha256: unknown}"
    own.write_text(f"version: 1\ncomponents: {{haproxy: {{'3.2.0': {entry}, '3.9.9': {entry}}}}}\n")
    lacking = "warning: no sources file has haproxy {}, so its cells are blocked"
    done = invoke("cells", "--matrix", matrix, columns=300)
    assert [line for line in done.stderr.splitlines() if "3.0.11" not in line] == [
        lacking.format("3.1.9"),
        lacking.format("3.2.0"),
    ]
    done = invoke("cells", "--matrix", matrix, "--sources", str(own), columns=300)
    assert lacking.format("3.1.9") in done.stderr
    assert "3.2.0" not in done.stderr
    assert f"{own}: no cell takes haproxy 3.9.9" in done.stderr
    own.write_text("version: 2\n")
    assert invoke("cells", "--matrix", matrix, "--sources", str(own)).exit_code == 2


@pytest.mark.parametrize("columns", ["40", "80", "100"])
@pytest.mark.parametrize(
    "args", [["cells", "--profile", "quick"], ["capabilities"], ["capabilities", "--filter", "tls=libressl"]]
)
def test_no_table_breaks_a_word(tmp_path: Path, args: list[str], columns: str) -> None:
    """Each word of a wide terminal's table stands whole in that of a narrow one."""
    wide = matrixctl(*args, cwd=tmp_path, env={"COLUMNS": "1000"}).stdout
    narrow = matrixctl(*args, cwd=tmp_path, env={"COLUMNS": columns}).stdout
    words = {word for word in read_words(wide) if not word.startswith(("amd64--", "arm64--"))} - {"id"}
    assert len(words) > 20
    assert words - {"unsupported", "expected"} <= read_words(narrow)


def read_words(text: str) -> set[str]:
    return {word.strip("[]:,;") for word in text.split()}


def test_cells_fit_80_columns_and_say_in_notes_what_does_not(tmp_path: Path) -> None:
    lines = matrixctl("cells", "--profile", "quick", cwd=tmp_path).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (rule,) = (line for line in lines if line.startswith("[2] "))
    assert "pass with TLS_AES_256_GCM_SHA384" in " ".join(lines[lines.index(rule) :])
    assert "amd64 distro  openssl-distro TLS_AES_128_CCM_SHA256       [1]" in lines
