"""Says of each cell whether it is as it should be, from what driver.py printed. Runs where that ran.

Usage: verdict.py [--other] < result.jsonl. With --other HAProxy or its library comes from another tree than the
folder's, and its version is not held against the folder's. Exit code: 0 each cell is as it should be, 42 HAProxy or
its TLS library fails in one of them, 125 there is a cell of which nothing can be told (and none fails). Not 1: so
Python ends with a traceback, and docker without a container.
"""

import json
import re
import signal
import sys
from pathlib import Path

GOOD, FAILS, UNTOLD = 0, 42, 125
WORDS = {GOOD: "as it should be", FAILS: "FAILS", UNTOLD: "cannot be told"}
CANNOT_OFFER, STOPPED, KILLED = 59, 124, 137  # curl's number; timeout(1)'s; a shell's for SIGKILL
GATEWAY_ERRORS = {502, 503, 504}
SANITIZER = re.compile(r"^==\d+==\s*ERROR: \w+Sanitizer: |: runtime error: ", re.MULTILINE)
NOT_LOADED = {126, 127}  # a shell's: it cannot be started


class Untold(Exception):
    """Why nothing can be told."""


class Fails(Exception):
    """How the product fails."""


def check_server(server: dict, expected: dict, other: bool) -> None:
    """Is what runs the HAProxy that it should be?"""
    said = server["vv"]
    if server["machine"].strip() != expected["machine"]:
        raise Untold(f"the server's machine is {server['machine'].strip()!r}, not {expected['machine']}")
    if not (version := found(r"^HAProxy version (\S+)", said)):
        if SANITIZER.search(said):
            raise Fails("a sanitizer reports a fault in `haproxy -vv`")
        code = server["vv_status"]
        if code is not None and code > 128 and code != KILLED:
            raise Fails(f"`haproxy -vv` died of {signal_name(code)}")
        raise Untold(f"`haproxy -vv` said nothing (status {code}): {last(said)}")
    running = found(r"^Running on (?:OpenSSL|SSL library) version : (.*)$", said)
    for what, is_now in (("haproxy_version", version), ("tls_running", running)):
        if not other and expected.get(what) not in {None, is_now}:
            raise Untold(f"the run had {expected[what]!r}, and this is {is_now!r}")
    if "+QUIC" not in found(r"^Feature list : (.*)$", said).split():
        raise Untold("HAProxy was built without QUIC")


def check_cell(raw: dict, asked: dict, requests: list) -> str:
    """What arrived, in words; a cell that is another way says how."""
    log, code = str(raw["files"].get("haproxy.log", "")), raw["exit_code"]
    if SANITIZER.search(log):
        raise Fails("a sanitizer reports a fault: see haproxy.log")
    if code is not None:
        check_end(raw, code, log)
    if raw["ready_s"] is None or raw["h3"] is None:
        raise Fails("HAProxy runs, and opens no QUIC listener")
    made = raw["h3"]["requests"]
    first = made[0] if made else {}
    if first.get("exit_code") == CANNOT_OFFER or first.get("shows") == "cannot-offer":
        raise Untold(f"the client sent nothing: {first['error']}")
    if raw["h3"]["exit_code"] == STOPPED:
        raise Untold("the client did not end by itself")
    for one, wanted in zip(made, requests):
        check_request(one, wanted, asked, bool(raw["origin_ok"]))
    if len(made) < len(requests):
        raise Untold("the client said nothing of all requests")
    cipher = made[0]["cipher"]
    if asked.get("default_cipher") not in {None, cipher}:
        raise Fails(f"with nothing forced {cipher} was negotiated, not {asked['default_cipher']}")
    return f"HTTP/3 with {cipher}: {', '.join(one['name'] for one in made)} went well"


def check_end(raw: dict, code: int, log: str) -> None:
    """HAProxy ended by itself."""
    if code == KILLED:
        raise Untold("HAProxy was killed, from outside or out of memory")
    if raw["ready_s"] is None and code <= 128:
        if "[ALERT]" not in log and (code in NOT_LOADED or last(log).startswith("qemu")):
            raise Untold(f"HAProxy could not be started: {last(log)}")
        raise Fails(f"HAProxy ended with status {code} before it listened: {last(log)}")
    raise Fails(f"HAProxy ended by itself with {signal_name(code)}, in the phase {raw['ended_in']}")


def check_request(one: dict, wanted: dict, asked: dict, origin: bool) -> None:
    name, code = one["name"], one["exit_code"]
    said = f"{name}: {asked['client']} {code}, {one['error'] or 'no message'}"
    begun = one["handshake_s"] is not None and not (alert(one) and one["first_byte_s"] is None)
    if code and not begun:
        raise Fails(f"the handshake does not end well ({said})")
    if not origin and (code or one["status"] in GATEWAY_ERRORS):
        raise Untold("the origin behind HAProxy does not answer")
    if code:
        raise Fails(f"the handshake ended, then {one['bytes_received']} bytes came ({said})")
    if one["http_version"] != "3" or one["status"] != 200:
        raise Fails(f"{name} was answered with status {one['status']} over HTTP/{one['http_version']}")
    if one["cipher"] is None or asked["suite"] not in {None, one["cipher"]}:
        raise Fails(f"{name} came with the cipher {one['cipher']}, not {asked['suite']}")
    got = confirmed(one["text"]) if wanted["upload"] else one["sha256"]
    if got != wanted["sha256"]:
        raise Fails(f"{name}: other bytes arrived than were sent")


def as_declared(declared: str, raw: dict, why: Exception) -> bool:
    """Whether a failure is the one that is declared: see `_PROVES` of matrixctl's judge."""
    if declared == "client-cannot-offer":
        return isinstance(why, Untold) and bool(raw["h3"]) and raw["h3"]["exit_code"] != STOPPED
    ended, h3 = raw["exit_code"], raw["h3"] or {}
    if ended is not None:  # it may refuse its configuration, and may not crash
        return raw["ready_s"] is None and ended <= 128 and "[ALERT]" in str(raw["files"].get("haproxy.log", ""))
    one = (h3.get("requests") or [{}])[0]
    if declared == "library-cannot":  # it has to refuse: a client that is left hanging shows another fault
        refused = one.get("close_code") is not None or one.get("shows") == "closed-by-server"
        return isinstance(why, Fails) and (refused or bool(raw["handshake_failures"]))
    return declared == "haproxy-cannot" and isinstance(why, Fails) and not one.get("bytes_received")


def alert(one: dict) -> bool:
    """A TLS alert as the close code of QUIC (RFC 9001, 4.8)."""
    return one["close_code"] is not None and 0x100 <= one["close_code"] < 0x200


def confirmed(answer: "str | None") -> "str | None":
    try:
        return json.loads(answer or "").get("sha256")
    except (ValueError, AttributeError):
        return None


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else ""


def last(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def signal_name(code: int) -> str:
    try:
        return signal.Signals(code - 128).name if code > 128 else f"status {code}"
    except ValueError:
        return f"signal {code - 128}"


def judge(raw: dict, asked: dict, requests: list, server: "Exception | None") -> "tuple[int, str]":
    """The exit code of one cell, and why."""
    declared = asked["declared"]
    try:
        if server is not None:
            raise server
        words = check_cell(raw, asked, requests)
    except Untold as why:
        good = server is None and declared is not None and as_declared(declared, raw, why)
        return (GOOD if good else UNTOLD), str(why)
    except Fails as why:
        good = server is None and declared is not None and as_declared(declared, raw, why)
        return (GOOD if good else FAILS), str(why)
    if declared is not None:
        return FAILS, f"declared impossible ({declared}), and it is not: {words}"
    return GOOD, words


def main(argv: list, lines: list, folder: Path) -> int:
    session, expected = (json.loads((folder / name).read_text()) for name in ("session.json", "expected.json"))
    read = [json.loads(line) for line in lines]
    server = next((one for one in read if one["kind"] == "server"), None)
    raws = {one["id"]: one for one in read if one["kind"] == "cell"}
    problem: "Exception | None" = None
    try:
        if server is None:
            raise Untold("the driver said nothing of the server")
        check_server(server, expected, "--other" in argv)
    except (Untold, Fails) as why:
        problem = why
    codes = []
    for cell in session["cells"]:
        asked = {**cell, **expected["cells"][cell["id"]]}
        if cell["id"] in raws:
            code, why = judge(raws[cell["id"]], asked, session["requests"], problem)
        else:
            code, why = UNTOLD, "the driver said nothing of it"
        codes.append(code)
        print(f"{cell['id']}: {WORDS[code]}: {why}")
        if said := asked.get("said"):
            print(f"  the run said: {said}")
    return next((code for code in (FAILS, UNTOLD) if code in codes), GOOD)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.readlines(), Path(__file__).parent))
