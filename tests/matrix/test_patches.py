"""Which components of which cells a patch is added to, and what is refused."""

from pathlib import Path

import pytest
from fakes import cell

from orchestrator.errors import ChecksumMismatchError, Exit, UsageError
from orchestrator.matrix.model import Cell, Patch
from orchestrator.matrix.patches import (
    apply_patches,
    list_patches,
    parse,
    read_content,
    read_fitted,
    read_patch,
)

DIFF = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"


def patch(name: str = "fix.diff", sha256: str = "1" * 64) -> Patch:
    return Patch(name=name, sha256=sha256, path=f"/x/{name}")


def with_haproxy(one: Cell, **changes: object) -> Cell:
    haproxy = one.haproxy.model_copy(update=changes)
    return Cell(id=one.id, **{**one.axes, "haproxy": haproxy})  # type: ignore[arg-type]


CELLS = [cell(tls=name) for name in ("openssl-distro", "openssl-3.5.7", "openssl-3.0.22", "libressl-4.0.0")]


def names(cells: tuple[Cell, ...]) -> dict[str, list[str]]:
    return {one.tls.name: [patch.name for patch in (*one.haproxy.patches, *one.tls.patches)] for one in cells}


def test_a_family_is_patched_wherever_it_is_compiled() -> None:
    assert names(apply_patches(CELLS, [("openssl", patch())])) == {
        "openssl-distro": [],
        "openssl-3.5.7": ["fix.diff"],
        "openssl-3.0.22": ["fix.diff"],
        "libressl-4.0.0": [],
    }


def test_a_name_is_that_value_alone_and_order_is_kept() -> None:
    made = apply_patches(CELLS, [("openssl-3.5.7", patch("b.diff")), ("openssl-3.5.7", patch("a.diff"))])
    assert names(made)["openssl-3.5.7"] == ["b.diff", "a.diff"]
    assert names(made)["openssl-3.0.22"] == []


def test_patches_of_the_matrix_come_first() -> None:
    given = with_haproxy(cell(), patches=(patch("of-the-matrix.diff"),))
    (made,) = apply_patches([given], [("haproxy", patch())])
    assert [one.name for one in made.haproxy.patches] == ["of-the-matrix.diff", "fix.diff"]
    assert list_patches([made]) == {
        patch("of-the-matrix.diff"): ("3.0.11",),
        patch(): ("3.0.11",),
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            [("openssl-3.5.8", patch())],
            "no selected cell has the component 'openssl-3.5.8'; did you mean 'openssl-3.5.7'?",
        ),
        ([("wolfssl", patch())], "no selected cell has the component 'wolfssl'"),
        ([("openssl-distro", patch())], "openssl-distro is not compiled here"),
        ([("haproxy", patch()), ("haproxy", patch())], "two patches called fix.diff"),
        ([("haproxy", patch()), ("openssl", patch(sha256="2" * 64))], "two patches are called fix.diff"),
    ],
)
def test_what_is_refused(given: list[tuple[str, Patch]], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_patches(CELLS, given)
    assert told in caught.value.brief
    assert caught.value.exit_code is Exit.USAGE


def test_one_patch_for_two_components_is_no_clash() -> None:
    made = apply_patches(CELLS[1:2], [("haproxy", patch()), ("openssl", patch())])
    assert list_patches(made) == {patch(): ("3.0.11", "openssl-3.5.7")}


def test_a_prebuilt_haproxy_has_no_patched_library_in_it() -> None:
    prebuilt = with_haproxy(cell(), source="prebuilt", where="x")
    with pytest.raises(UsageError, match=r"prebuilt: the patches of openssl-3\.5\.7"):
        apply_patches([prebuilt], [("openssl", patch())])
    with pytest.raises(UsageError, match="haproxy is not compiled here"):
        apply_patches([prebuilt], [("haproxy", patch())])


def test_a_file_is_read_once_and_verified_when_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "fix.diff"
    path.write_text(DIFF)
    component, found = parse(f"openssl={path}")
    assert (component, found) == ("openssl", read_patch(path))
    assert read_content(found) == DIFF.encode()
    path.write_text(DIFF + "\n")
    with pytest.raises(ChecksumMismatchError, match="has changed"):
        read_content(found)
    path.unlink()
    with pytest.raises(ChecksumMismatchError, match="can no longer be read"):
        read_content(found)


@pytest.mark.parametrize("text", ["", "openssl", "=x.diff", "openssl="])
def test_another_form_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="COMPONENT=FILE"):
        parse(text)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be read: embedded null byte"):
        parse("openssl=\0folder/fix.diff")


def test_what_is_applied_has_the_prefixes_that_the_file_lacks(tmp_path: Path) -> None:
    (tmp_path / "fix.diff").write_text(DIFF.replace("a/x", "x").replace("b/x", "x"))
    found = read_patch(tmp_path / "fix.diff")
    assert read_fitted(found).decode() == DIFF
    assert read_content(found) == (tmp_path / "fix.diff").read_bytes()
