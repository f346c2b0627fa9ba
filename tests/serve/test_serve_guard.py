"""Who is answered: pages of our own and the address bar, by names that no other site can have."""

import pytest
from asking import OURS, PORT, Served, ask, served
from site_samples import Series

from orchestrator.serve.guard import HEADERS, Hosts


@pytest.fixture(scope="module")
def ours(nights: Series, tmp_path_factory: pytest.TempPathFactory) -> Served:
    found = served(nights.reports, tmp_path_factory.mktemp("served"))
    found.site.make()
    return found


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_loopback_is_answered(ours: Served, host: str) -> None:
    assert ours.ask("/", ("host", f"{host}:{PORT}")).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        f"localhost.evil.example:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"localhost:{PORT}@evil.example",
        f"evil.example#localhost:{PORT}",
        f"192.0.2.1:{PORT}",
        f"[2001:db8::1]:{PORT}",
        f"0x7f000001:{PORT}",
        f"2130706433:{PORT}",
        f"localhost.:{PORT}",
        f"127.0.0.1:{PORT}:{PORT}",
        f"::1:{PORT}",
        "localhost",
        "localhost:80",
        "localhost:99999",
        f"localhost:+{PORT}",
        f"localhost:{PORT}\u0660",
        "",
        "\0",
        "a" * 100_000,
    ],
)
def test_any_other_name_is_refused(ours: Served, host: str) -> None:
    answer = ours.ask("/", ("host", host))
    assert answer.status == 421
    assert "<" not in answer.text


def test_no_host_and_two_hosts_are_refused(ours: Served) -> None:
    assert ours.ask("/", ("accept", "*/*")).status == 421
    assert ours.ask("/", OURS, ("host", "evil.example")).status == 421


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", f"https://localhost:{PORT}", "http://localhost:1", "file://"],
)
def test_pages_of_other_origins_are_refused(ours: Served, origin: str) -> None:
    assert ours.ask("/live.json", OURS, ("origin", origin)).status == 403


def test_a_page_of_ours_may_ask(ours: Served) -> None:
    own = ("origin", f"http://localhost:{PORT}")
    fetched = (("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"))
    assert ours.ask("/live.json", OURS, own, *fetched).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_link_to_us_and_take_in_nothing(ours: Served, site: str) -> None:
    """A script with data is asked for without an Origin; ``same-site`` is another port of localhost."""

    def status(mode: str, what: str) -> int:
        how = (("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", what))
        return ours.ask("/matrix-data.js", OURS, *how).status

    assert status("navigate", "document") == 200
    assert status("no-cors", "script") == 403
    assert status("no-cors", "image") == 403
    assert status("navigate", "iframe") == 403


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X"]
)
@pytest.mark.parametrize("path", ["/", "/events", "/nothing"])
def test_nothing_can_be_changed(ours: Served, method: str, path: str) -> None:
    answer = ours.ask(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/live.html", "/events", "/matrix.json", "/nothing"])
def test_each_answer_has_the_headers_that_protect_it(ours: Served, path: str) -> None:
    for answer in (ours.ask(path, method="HEAD"), ours.ask(path, ("host", "evil.example"))):
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert policy.endswith("; frame-ancestors 'none'")
        assert "unsafe" not in policy


def test_who_is_told_to_be_open_takes_addresses_and_its_own_names(ours: Served) -> None:
    open_ = ours.application(Hosts(port=PORT, names=frozenset({"ci.example"}), any_address=True))
    found = {
        host: ask(open_, "/", ("host", f"{host}:{PORT}")).status
        for host in ("192.0.2.1", "[2001:db8::1]", "ci.example", "CI.example", "localhost", "evil.example")
    }
    assert found.pop("evil.example") == 421, "an address cannot be another site's name, but a name can"
    assert set(found.values()) == {200}
