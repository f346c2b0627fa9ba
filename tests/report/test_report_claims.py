"""What a panel marks as right or wrong of the attestation: the texts of real binaries."""

import pytest
from samples import quick

from orchestrator.matrix.model import TlsValue
from orchestrator.report.panel import list_claims

AWS_LC = TlsValue(name="aws-lc-5.1.0", family="aws-lc", version="5.1.0", source="tarball")


def marks(tls: TlsValue | None = None, **changed: str | None) -> dict[str, bool | None]:
    """What each line is marked as, in a record that differs in ``changed``."""
    cell = quick().cells[0]
    assert cell.attestation is not None
    found = cell.attestation.model_copy(update=changed)
    if tls is not None:
        cell = cell.model_copy(update={"axes": cell.axes.model_copy(update={"tls": tls})})
    return {claim.what: claim.good for claim in list_claims(cell, found)}


@pytest.mark.parametrize(
    ("said", "good"),
    [("3.0.11-9e587df", True), ("3.0.11", True), ("3.0.10-abc", False), ("3.0.110", False), (None, None)],
)
def test_a_haproxy_may_name_its_commit(said: str | None, *, good: bool | None) -> None:
    assert marks(haproxy_version=said)["HAProxy"] is good


@pytest.mark.parametrize(("running", "good"), [("AWS-LC 5.1.0", True), ("AWS-LC 5.0.0", False), (None, None)])
def test_aws_lc_says_another_text_when_built(running: str | None, *, good: bool | None) -> None:
    built = "OpenSSL 1.1.1 (compatible; AWS-LC 5.1.0)"
    assert marks(AWS_LC, tls_built=built, tls_running=running)["TLS running on"] is good


def test_a_distribution_may_replace_its_library() -> None:
    assert marks(tls_built="OpenSSL 3.5.6", tls_running="OpenSSL 3.5.7")["TLS running on"] is None


def test_another_library_is_marked_on_both_lines() -> None:
    found = marks(AWS_LC, tls_built="OpenSSL 3.5.7 7 Oct 2026", tls_running="OpenSSL 3.5.7 7 Oct 2026")
    assert (found["TLS built with"], found["TLS running on"]) == (False, False)


def test_a_family_that_only_the_record_knows_is_shown_and_not_judged() -> None:
    other = AWS_LC.model_copy(update={"family": "nossl"})
    found = marks(other, tls_built="NoSSL 1", tls_running="NoSSL 1")
    assert (found["TLS built with"], found["TLS running on"]) == (None, None)
