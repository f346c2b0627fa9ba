"""Whose tree it is and which version, as each project writes it."""

import pytest

from orchestrator.execute.sources.identify import NAMES, Identity, identify

HAPROXY = {"include/haproxy/version.h": "#ifndef _HAPROXY_VERSION_H\n", "VERSION": "3.5-dev5\n"}
DAT = 'MAJOR={}\nMINOR={}\nPATCH={}\nPRE_RELEASE_TAG={}\nBUILD_METADATA={}\nRELEASE_DATE="11 Feb 2025"\n'
HEADER = '# define {}_VERSION_TEXT    "{} 11 Sep 2023"\n'
LIBRESSL = (
    '#define LIBRESSL_VERSION_TEXT   "LibreSSL 3.9.2"\n#define OPENSSL_VERSION_TEXT LIBRESSL_VERSION_TEXT\n'
)
AWS_LC = '#define AWSLC_API_VERSION 33\n#define AWSLC_VERSION_NUMBER_STRING "1.51.2"\n'


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (HAPROXY, "HAProxy 3.5-dev5"),
        ({**HAPROXY, "SUBVERS": "-$Format:%h$\n\n"}, "HAProxy 3.5-dev5"),
        ({**HAPROXY, "SUBVERS": "-50872da\n"}, "HAProxy 3.5-dev5"),
        ({**HAPROXY, "SUBVERS": "-50872da-12\n"}, "HAProxy 3.5-dev5-12"),
        ({**HAPROXY, "VERSION": "$(rm -r x)\n"}, "HAProxy"),
        ({**HAPROXY, "VERSION": ""}, "HAProxy"),
        ({"VERSION.dat": DAT.format(3, 6, 0, "dev", "")}, "OpenSSL 3.6.0-dev"),
        ({"VERSION.dat": DAT.format(3, 5, 7, "", "")}, "OpenSSL 3.5.7"),
        ({"VERSION.dat": DAT.format(4, 0, 0, "-alpha1", "")}, "OpenSSL 4.0.0-alpha1"),
        ({"VERSION.dat": DAT.format(3, 0, 16, "", "quic")}, "QuicTLS 3.0.16-quic"),
        ({"VERSION.dat": DAT.format(3, 3, 0, "", "+quic1")}, "QuicTLS 3.3.0-quic1"),
        ({"include/openssl/opensslv.h": HEADER.format("OPENSSL", "OpenSSL 1.1.1w")}, "OpenSSL 1.1.1w"),
        (
            {"include/openssl/opensslv.h": HEADER.format("OPENSSL", "OpenSSL 1.1.1w+quic")},
            "QuicTLS 1.1.1w-quic",
        ),
        ({"include/openssl/opensslv.h": LIBRESSL, "VERSION": "3.9.2\n"}, "LibreSSL 3.9.2"),
        (
            {
                "configure.ac": "AC_INIT([libressl], m4_esyscmd([tr -d '\\n' < VERSION]))",
                "VERSION": "4.3.3\n",
            },
            "LibreSSL 4.3.3",
        ),
        ({"include/openssl/base.h": AWS_LC}, "AWS-LC 1.51.2"),
        ({"wolfssl/version.h": '#define LIBWOLFSSL_VERSION_STRING "5.9.2"\n'}, "wolfSSL 5.9.2"),
    ],
)
def test_each_project_says_what_it_is(files: dict[str, str], told: str) -> None:
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return files.get(name, "")

    assert str(identify(read)) == told
    assert set(asked) <= set(NAMES)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"VERSION": "3.0\n"},
        {"VERSION": "1.2\n", "configure.ac": "AC_INIT([curl])"},
        {"VERSION.dat": "MAJOR=3\n"},
        {"include/openssl/base.h": "#define BORINGSSL_API_VERSION 33\n"},
    ],
)
def test_another_tree_is_nobodys(files: dict[str, str]) -> None:
    assert identify(lambda name: files.get(name, "")) is None


def test_an_identity_is_a_value() -> None:
    assert Identity(family="haproxy", version="3") == Identity(family="haproxy", version="3")
