"""What a file may be: no pipe, no device, no flood; and what a matrix may name beside it."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import CORPUS, Hostile
from matrix_samples import matrix

from orchestrator.atomic_files import expand_home
from orchestrator.errors import MatrixctlError, UsageError
from orchestrator.matrix import patches
from orchestrator.matrix.catalog import load_catalog
from orchestrator.matrix.expand import expand
from orchestrator.matrix.load import load
from orchestrator.matrix.select import select

READERS: dict[str, Callable[[Path], object]] = {
    "matrix": load,
    "sources": lambda path: load_catalog([path]),
    "patch": patches.read_patch,
}
DIFF = "--- a/x\n+++ b/x\n"


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_and_not_waited_for(reader: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is no regular file"):
        READERS[reader](tmp_path / "pipe")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/null"])
def test_a_device_is_refused(reader: str, device: str) -> None:
    with pytest.raises(UsageError, match=r"regular file|No such device"):
        READERS[reader](Path(device))


@pytest.mark.parametrize("reader", READERS)
def test_a_folder_is_refused(reader: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Is a directory"):
        READERS[reader](tmp_path)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_of_a_gibibyte_is_refused_before_it_is_read(reader: str, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(UsageError, match=r"larger than \d+ [KM]iB"):
        READERS[reader](tmp_path / "huge")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: &c{n} [{'*b, ' * 400}]\n" for n in range(25)),
            "more than",
        ),
        ("[" * 500, "nested too deeply|not YAML"),
        ("version: 1\n" + "".join(f"{' ' * n}x:\n" for n in range(40)) + " " * 40 + "y", "nested too deeply"),
        ("version: 1\nversion: 1\n", "the key stands here twice"),
        ("version: !!python/object/apply:os.system ['x']\n", "the YAML tag .* is not accepted"),
        ("version: !!binary aGk=\n", "the YAML tag .* is not accepted"),
        ("a: &a\n  b: *a\n", "alias of itself"),
        ("<<: {version: 1}\n", "a key must be text"),
    ],
)
def test_yaml_has_limits_and_the_message_names_them(text: str, said: str, tmp_path: Path) -> None:
    for name in ("matrix", "sources"):
        (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(UsageError) as caught:
            READERS[name](tmp_path / f"{name}.yaml")
        assert re.search(said, caught.value.details)
        assert re.match(rf"{re.escape(str(tmp_path))}/{name}\.yaml:\d+:\d+: ", caught.value.details)


@pytest.mark.parametrize("value", CORPUS, ids=lambda value: value.name)
def test_a_value_that_is_not_even_quoted_ends_in_a_message(value: Hostile, tmp_path: Path) -> None:
    text = f"version: 1\naxes: {{arch: [amd64]}}\ninclude:\n  - {value.text}\nprofiles: {value.text}\n"
    (tmp_path / "matrix.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "matrix.yaml")
    assert caught.value.resolution
    assert "matrix.yaml:" in str(caught.value)


@pytest.mark.parametrize("value", CORPUS, ids=lambda value: value.name)
def test_a_patch_has_a_plain_name_or_is_refused(value: Hostile, tmp_path: Path) -> None:
    """`patches:` of a matrix and `--patch` of the command line read a file through the same function."""
    if value.names_a_file and len(value.data) < 200:
        (tmp_path / f"{value.text}.diff").write_text(DIFF)
    try:
        found = patches.parse(f"openssl={tmp_path}/{value.text}.diff")[1]
    except UsageError as error:
        refused = str(error)
    else:
        refused = ""
        assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+~_-]*", found.name)
        assert value.names_a_file
        assert Path(found.path).parent == tmp_path
    assert len(refused) < 1000


@pytest.mark.parametrize("value", CORPUS, ids=lambda value: value.name)
def test_a_filter_selects_or_says_why_not(value: Hostile) -> None:
    cells = expand(matrix())
    for text in (
        value.text,
        f"haproxy={value.text}",
        f"tls>={value.text}",
        f"{value.text}=x",
        f"tls={value.text}..",
    ):
        try:
            found, refused = select(cells, (text,), known=cells), None
        except MatrixctlError as error:
            found, refused = (), error
        assert found or (refused is not None and refused.exit_code in {2, 3})
        assert len(str(refused)) < 2000


def test_a_user_who_does_not_exist_has_no_home() -> None:
    assert expand_home("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert expand_home("~/x") == Path.home() / "x"
