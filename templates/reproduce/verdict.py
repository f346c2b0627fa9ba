"""Say of each cell whether it is as it should be, from what driver.py printed. Runs where that ran.

Usage: verdict.py [--other] < result.jsonl. With --other HAProxy or its library comes from another tree than the
folder's, and its version is not compared with the folder's. Exit code: 0 each cell is as it should be, 42 HAProxy or
its TLS library fails in one of them, 125 of a cell nothing can be said (and none fails). Not 1: so
Python ends with a traceback, and docker without a container.
"""

import json
import re
import signal
import sys
from pathlib import Path

GOOD, FAILS, UNTOLD = 0, 42, 125
WORDS = {GOOD: "as it should be", FAILS: "FAILS", UNTOLD: "cannot be told"}
WAITED, CANNOT_OFFER, STREAM_RESET, BAD_CERTIFICATE = 28, 59, 95, {51, 60}  # curl's numbers
STOPPED = 124  # timeout(1)'s
GATEWAY_ERRORS = {502, 503, 504}
CRASHES = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"}
SANITIZER = re.compile(
    r"^==\d+==\s*ERROR: \w{1,40}Sanitizer: .|^[^\s:]{1,200}:\d{1,9}:\d{1,9}: runtime error: .", re.MULTILINE
)
REFUSED = {"config-refused", "handshake-refused"}
PROVES = {
    "library-cannot": REFUSED,
    "haproxy-cannot": REFUSED | {"not-ready", "handshake-timeout", "handshake-then-hang"},
}
"""The kinds of failure that prove what is declared: a crash, a wrong body or a sanitizer's report prove nothing.
A library without a suite has to refuse it: a client that is left hanging shows another fault."""


class Finding(Exception):
    """``kind`` is what matrixctl calls it in its reports."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind


class Untold(Finding):
    """Why nothing can be told."""


class Fails(Finding):
    """How the product fails."""


def check_server(server: dict, expected: dict, other: bool) -> None:
    """Is what runs the HAProxy that it should be?"""
    said = server["vv"]
    if server["machine"].strip() != expected["machine"]:
        raise Untold("wrong-arch", f"the server's machine is {server['machine'].strip()!r}, not {expected['machine']}")
    if not (version := find(r"^HAProxy version (\S+)", said)):
        if SANITIZER.search(said):
            raise Fails("sanitizer", "a sanitizer reports a fault in `haproxy -vv`")
        code = server["vv_status"]
        if code is not None and code > 128 and name_signal(code) != "SIGKILL":
            raise Fails("server-crashed", f"`haproxy -vv` died of {name_signal(code)}")
        raise Untold("internal", f"`haproxy -vv` said nothing (status {code}): {find_last(said)}")
    running = find(r"^Running on (?:OpenSSL|SSL library) version : (.*)$", said)
    for what, is_now in (("haproxy_version", version), ("tls_running", running)):
        if not other and expected.get(what) not in {None, is_now}:
            raise Untold("wrong-version", f"the run had {expected[what]!r}, and this is {is_now!r}")
    if "+QUIC" not in find(r"^Feature list : (.*)$", said).split():
        raise Untold("no-quic", "HAProxy was built without QUIC")


def check_cell(raw: dict, asked: dict, requests: list) -> str:
    """What arrived, in words; a cell that is another way says how. The order is that of causes."""
    log, code = str(raw["files"].get("haproxy.log", "")), raw["exit_code"]
    if SANITIZER.search(log):
        raise Fails("sanitizer", "a sanitizer reports a fault: see haproxy.log")
    if code is not None:
        check_end(raw, code, log.splitlines()[-20:])
    if raw["ready_s"] is None or raw["h3"] is None:
        raise Fails("not-ready", "HAProxy runs, and opens no QUIC listener")
    made = raw["h3"]["requests"]
    first = made[0] if made else {}
    if first.get("exit_code") == CANNOT_OFFER or first.get("shows") == "cannot-offer":
        raise Untold("client-cannot-offer", f"the client sent nothing: {first['error']}")
    if raw["h3"]["exit_code"] == STOPPED:
        raise Untold("deadline", "the client did not end by itself")
    if not made:
        raise Untold("internal", "the client said nothing of any request")
    for one in made:  # a client may make a connection for each
        check_handshake(one, asked, raw["handshake_failures"])
    wanted = {each["name"]: each for each in requests}
    for one in made:
        check_request(one, wanted[one["name"]], asked, bool(raw["origin_ok"]))
    if len(made) < len(requests):
        raise Untold("internal", "the client said nothing of all requests")
    cipher = made[0]["cipher"]
    if asked.get("default_cipher") not in {None, cipher}:
        raise Fails(
            "default-changed", f"with nothing forced {cipher} was negotiated, not {asked['default_cipher']}"
        )
    return f"HTTP/3 with {cipher}: {', '.join(one['name'] for one in made)} went well"


def check_end(raw: dict, code: int, tail: list) -> None:
    """HAProxy ended by itself."""
    how = name_signal(code)
    if how == "SIGKILL":
        raise Untold("killed", "HAProxy was killed, from outside or out of memory")
    if raw["ready_s"] is not None or how in CRASHES:
        raise Fails("server-crashed", f"HAProxy ended by itself with {how}, in the phase {raw['ended_in']}")
    words = tail[-1] if tail else "it said nothing"
    if alerts := [line for line in tail if "[ALERT]" in line]:
        raise Fails("config-refused", f"HAProxy refuses its configuration: {alerts[0]}")
    if words.startswith("qemu"):
        raise Untold("emulation", f"HAProxy could not be started: {words}")
    raise Fails("not-ready", f"HAProxy ended with {how} before it listened: {words}")


def quote(one: dict, asked: dict) -> str:
    return f"{one['name']}: {asked['client']} {one['exit_code']}, {one['error'] or 'no message'}"


def check_handshake(one: dict, asked: dict, failures: "int | None") -> None:
    code, closed, said = one["exit_code"], one["close_code"], quote(one, asked)
    if code in BAD_CERTIFICATE:
        raise Fails("bad-certificate", f"the client does not take the certificate ({said})")
    late = is_alert(one) and one["first_byte_s"] is None  # in answer to the client's last flight
    if code == 0 or (one["handshake_s"] is not None and not late):
        return
    if one["shows"] == "fault-in-answer" and closed is None:
        raise Fails("handshake-broken", f"the client found a fault in the handshake ({said})")
    if closed is not None or failures or one["shows"] == "closed-by-server":
        raise Fails("handshake-refused", f"the server ended the handshake ({said})")
    if code == WAITED:
        raise Fails("handshake-timeout", f"the client's time ran out before the handshake ended ({said})")
    raise Fails("handshake-broken", f"the handshake does not end well ({said})")


def check_request(one: dict, wanted: dict, asked: dict, origin: bool) -> None:
    name, code = one["name"], one["exit_code"]
    if not origin and (code or one["status"] in GATEWAY_ERRORS):
        raise Untold("origin-down", "the origin behind HAProxy does not answer")
    if code:
        words = f"the handshake ended, then {one['bytes_received']} bytes came ({quote(one, asked)})"
        if wanted["upload"]:
            raise Fails("upload-incomplete", words)
        broken = one["bytes_received"] or code == STREAM_RESET  # it was alive, and ended this answer
        raise Fails("wrong-body" if broken else "handshake-then-hang", words)
    if one["http_version"] != "3":
        raise Fails("not-http3", f"{name} was answered over HTTP/{one['http_version']}")
    if one["status"] != 200:
        raise Fails("bad-status", f"{name} was answered with status {one['status']}")
    if one["cipher"] is None or asked["suite"] not in {None, one["cipher"]}:
        raise Fails("wrong-cipher", f"{name} came with the cipher {one['cipher']}, not {asked['suite']}")
    got = read_confirmed(one["text"]) if wanted["upload"] else one["sha256"]
    if got != wanted["sha256"]:
        kind = "upload-incomplete" if wanted["upload"] else "wrong-body"
        raise Fails(kind, f"{name}: other bytes arrived than were sent")


def is_alert(one: dict) -> bool:
    """Return whether it ended with a TLS alert as the close code of QUIC (RFC 9001, 4.8)."""
    return one["close_code"] is not None and 0x100 <= one["close_code"] < 0x200


def read_confirmed(answer: "str | None") -> "str | None":
    try:
        return json.loads(answer or "").get("sha256")
    except (ValueError, AttributeError):
        return None


def find(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else ""


def find_last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def name_signal(code: int) -> str:
    try:
        return signal.Signals(code - 128).name if code > 128 else f"status {code}"
    except ValueError:
        return f"signal {code - 128}"


def judge(raw: dict, asked: dict, requests: list, server: "Finding | None", no_quic: bool) -> "tuple[int, str]":
    """The exit code of one cell, and why. With ``no_quic`` it is declared that this HAProxy has none."""
    declared = asked["declared"]
    try:
        if server is not None:
            raise server
        words = check_cell(raw, asked, requests)
    except Finding as why:
        proved = declared is not None and (
            why.kind == declared or why.kind in PROVES.get(declared, ()) or (no_quic and why.kind == "no-quic")
        )
        return (GOOD if proved else FAILS if isinstance(why, Fails) else UNTOLD), str(why)
    if declared is not None:
        return FAILS, f"declared impossible ({declared}), and it is not: {words}"
    return GOOD, words


def main(argv: list, lines: list, folder: Path) -> int:
    session, expected = (json.loads((folder / name).read_text()) for name in ("session.json", "expected.json"))
    read = [json.loads(line) for line in lines]
    server = next((one for one in read if one["kind"] == "server"), None)
    raws = {one["id"]: one for one in read if one["kind"] == "cell"}
    problem: "Finding | None" = None
    try:
        if server is None:
            raise Untold("internal", "the driver said nothing of the server")
        check_server(server, expected, "--other" in argv)
    except Finding as why:
        problem = why
    codes = []
    for cell in session["cells"]:
        asked = {**cell, **expected["cells"][cell["id"]]}
        if cell["id"] in raws:
            code, why = judge(raws[cell["id"]], asked, session["requests"], problem, bool(expected.get("no_quic")))
        else:
            code, why = UNTOLD, "the driver said nothing of it"
        codes.append(code)
        print(f"{cell['id']}: {WORDS[code]}: {why}")
        if said := asked.get("said"):
            print(f"  the run said: {said}")
    return next((code for code in (FAILS, UNTOLD) if code in codes), GOOD)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.readlines(), Path(__file__).parent))
