"""What GitHub's runner does with the lines of a step: which of them it obeys, and what they say.

By src/Runner.Common/ActionCommand.cs and src/Runner.Worker/ActionCommandManager.cs of actions/runner: white
space of any kind is trimmed before ``::``, and ``##[`` is looked for anywhere in a line.
"""

from typing import NamedTuple

KNOWN = {
    *("stop-commands", "internal-set-repo-path", "set-env", "set-output", "save-state", "add-mask"),
    *("add-path", "add-matcher", "remove-matcher", "debug", "notice", "warning", "error", "group"),
    *("endgroup", "echo"),
}


class Command(NamedTuple):
    """A line that the runner obeys."""

    name: str
    properties: dict[str, str]
    data: str


def obeyed(output: str) -> list[Command]:
    """Return the commands of a log that the runner obeys, those that stop and resume it among them."""
    found: list[Command] = []
    token = ""
    for line in output.splitlines():
        command = _parse(line, token) or _parse_old(line, token)
        if command is None or (token and command.name != token):
            continue
        token = "" if token else command.data if command.name == "stop-commands" else ""
        found.append(command)
    return found


def _parse(line: str, token: str) -> Command | None:
    trimmed = line.lstrip()
    if not trimmed.startswith("::") or "::" not in trimmed[2:]:
        return None
    head, _, data = trimmed[2:].partition("::")
    name, _, rest = head.partition(" ")
    if name.lower() not in {*KNOWN, token} - {""}:
        return None
    pairs = (part.split("=", 1) for part in rest.strip().split(",") if "=" in part)
    return Command(name.lower(), {key: _unescape(value) for key, value in pairs}, _unescape(data))


def _parse_old(line: str, token: str) -> Command | None:
    _, found, rest = line.partition("##[")
    head, closed, data = rest.partition("]")
    name = head.partition(" ")[0].lower()
    if not (found and closed) or name not in {*KNOWN, token} - {""}:
        return None
    return Command(name, {}, data)


def _unescape(text: str) -> str:
    for escaped, token in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escaped, token)
    return text
