"""The run's own authority: verified by a strict verifier, and by no other authority."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from orchestrator.probe import certificates
from orchestrator.probe.certificates import SERVER_NAME, Certificates


def leaf(made: Certificates) -> x509.Certificate:
    (found,) = x509.load_pem_x509_certificates(made.server)
    return found


def verify(made: Certificates, ca: bytes, name: str = SERVER_NAME, *, after: timedelta = timedelta()) -> None:
    authority = Store([x509.load_pem_x509_certificate(ca)])
    policy = PolicyBuilder().store(authority).time(datetime.now(UTC) + after)
    policy.build_server_verifier(x509.DNSName(name)).verify(leaf(made), [])


@pytest.mark.fault(
    "the clock jumps by twenty years, ahead or back, after the run's certificates were made",
    "they still verify: no `bad-certificate` that is no fault of the server's",
)
@pytest.mark.parametrize("after", [timedelta(days=-7300), timedelta(), timedelta(days=7300)])
def test_the_server_verifies_against_its_own_authority(after: timedelta) -> None:
    made = certificates.make()
    verify(made, made.ca, after=after)


def test_another_runs_authority_and_another_name_are_refused() -> None:
    made, other = certificates.make(), certificates.make()
    with pytest.raises(VerificationError):
        verify(made, other.ca)
    with pytest.raises(VerificationError):
        verify(made, made.ca, "other.matrixctl.test")


def test_the_servers_file_holds_its_key_and_its_certificate_and_the_authoritys_key_nowhere() -> None:
    made = certificates.make()
    key = load_pem_private_key(made.server, password=None)
    assert key.public_key() == leaf(made).public_key()
    assert made.server.count(b"PRIVATE KEY") == 2
    assert b"PRIVATE" not in made.ca
