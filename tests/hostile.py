"""The hostile corpus: what somebody might write into a file of ours, or a server into its answer.

Each value has a name, a class and a text. Who runs one of them as code leaves a trace that a test can look
for: a file or a JavaScript variable called CANARY, or the text EVALUATED, which stands in no value itself.

A test that makes a file of such a name asks ``names_a_file`` first: `folder / "/etc/passwd"` is /etc/passwd.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CANARY = "matrixctl_canary"
"""What the shell values make as a file, and the HTML values as a variable of the window."""

AGAIN = "docs/security.md has other counts: `pytest -k hostile --whole-corpus` ends with today's"

_SUM = "48611*48611"
EVALUATED = str(48611 * 48611)
"""What a template engine, a shell or a spreadsheet makes of the sums in the corpus."""


class Kind(StrEnum):
    """What a value is meant for; most try more than one thing."""

    SHELL = "shell"
    LINES = "lines"
    TEMPLATE = "template"
    DOCKERFILE = "dockerfile"
    HAPROXY = "haproxy"
    PATH = "path"
    OPTION = "option"
    CONTROL = "control"
    TERMINAL = "terminal"
    UNICODE = "unicode"
    LONG = "long"
    YAML = "yaml"
    MARKUP = "markup"
    MARKDOWN = "markdown"
    WORKFLOW = "workflow"
    FORMULA = "formula"
    PERCENT = "percent"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One value of the corpus."""

    name: str
    kind: Kind
    text: str

    @property
    def data(self) -> bytes:
        """The text as a server sends it; a lone surrogate becomes bytes that are no UTF-8."""
        return self.text.encode("utf-8", "surrogatepass")

    @property
    def says(self) -> bool:
        """Whether it is text that UTF-8 can say, so that a file or an argument can hold it."""
        return not any("\ud800" <= char <= "\udfff" for char in self.text)

    @property
    def names_a_file(self) -> bool:
        """Whether a file in a folder of the test can have it as its name, and nothing outside is meant."""
        return (
            "/" not in self.text and "\0" not in self.text and self.text not in {"", ".", ".."} and self.says
        )


_TOUCH = f"touch {CANARY}"

_TEXTS: dict[Kind, dict[str, str]] = {
    Kind.SHELL: {
        "semicolon": f"x; {_TOUCH}",
        "and": f"x && {_TOUCH}",
        "or": f"x || {_TOUCH}",
        "pipe": f"x | {_TOUCH}",
        "background": f"x & {_TOUCH} &",
        "backquotes": f"`{_TOUCH}`",
        "substitution": f"$({_TOUCH})",
        "nested-substitution": f"${{x:-$({_TOUCH})}}",
        "arithmetic": f"$(({_SUM}))",
        "variable": "${HOME}$PATH$IFS",
        "redirect": f">{CANARY}",
        "here-document": f"<<EOF\n{_TOUCH}\nEOF\n{_TOUCH}",
        "single-quote-out": f"'; {_TOUCH}; '",
        "double-quote-out": f'"; {_TOUCH}; "',
        "both-quotes-out": f"'\"; {_TOUCH}; \"'",
        "backslash-last": "x\\",
        "glob": "/*",
        "braces": f"{{x,;{_TOUCH};}}",
        "history": "!!",
        "tilde": "~root",
        "comment": f"x # ; {_TOUCH}",
        "ifs-spaces": f"x;touch${{IFS}}{CANARY}",
        "make-variable": f"$(shell {_TOUCH})",
        "assignment": f"SHELL=/bin/sh -c '{_TOUCH}'",
        "open-quote": "x'",
        "open-double-quote": 'x"',
        "space": "a value of many words",
    },
    Kind.LINES: {
        "newline-command": f"x\n{_TOUCH}\n",
        "carriage-return": f"x\r{_TOUCH}\r",
        "crlf": f"x\r\n{_TOUCH}\r\n",
        "leading-newline": f"\n{_TOUCH}",
        "vertical-tab": f"x\v{_TOUCH}",
        "form-feed": f"x\f{_TOUCH}",
        "next-line": f"x\u0085{_TOUCH}",
        "line-separator": f"x\u2028{_TOUCH}",
        "paragraph-separator": f"x\u2029{_TOUCH}",
        "line-continuation": f"x\\\n{_TOUCH}",
        "header-split": "x\r\nSet-Cookie: owned=1\r\n\r\n<html>",
    },
    Kind.TEMPLATE: {
        "jinja-sum": f"{{{{{_SUM}}}}}",
        "jinja-spaces": f"{{{{ {_SUM} }}}}",
        "jinja-class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "jinja-globals": "{{ cycler.__init__.__globals__.os.popen('" + _TOUCH + "').read() }}",
        "jinja-import": "{% import 'os' as os %}{{ os.system('" + _TOUCH + "') }}",
        "jinja-include": "{% include '/etc/passwd' %}",
        "jinja-loop": "{% for x in range(999999999) %}x{% endfor %}",
        "jinja-end": "{% endraw %}{% endif %}{% endfor %}",
        "jinja-comment": "{# x",
        "dollar-brace": f"${{{_SUM}}}",
        "format": "{0.__class__.__init__.__globals__}%(x)s%s%n",
        "erb": f"<%= {_SUM} %>",
    },
    Kind.DOCKERFILE: {
        "run": f"x\nRUN {_TOUCH}",
        "from": "x\nFROM scratch",
        "add": "x\nADD https://example.invalid/x /x",
        "user": "x\nUSER root",
        "syntax": "# syntax=example.invalid/frontend\nFROM x",
        "continued": f"x \\\nRUN {_TOUCH}",
        "json-form": f'["/bin/sh", "-c", "{_TOUCH}"]',
    },
    Kind.HAPROXY: {
        "directive": "x\n    http-request deny",
        "section": "x\nfrontend owned\n    bind :1",
        "program": f"x\nprogram owned\n    command sh -c '{_TOUCH}'",
        "lua": "x\n    lua-load /owned.lua",
        "fetch": "%[env(HOME)]%[src]",
        "escapes": "x\\ y\\n\\x0a",
        "environment": '"${HOME}"',
    },
    Kind.PATH: {
        "parent": "../../../../etc/passwd",
        "parent-windows": "..\\..\\etc\\passwd",
        "absolute": "/etc/passwd",
        "device": "/dev/zero",
        "process": "/proc/self/environ",
        "dot": ".",
        "dot-dot": "..",
        "slash": "/",
        "double-slash": "//etc//passwd",
        "inner-parent": "x/../../y",
        "file-url": "file:///etc/passwd",
        "home": "~/.ssh/id_rsa",
        "home-of-nobody": "~nobody-of-that-name/x",
        "empty-parts": "x//./y",
    },
    Kind.OPTION: {
        "privileged": "--privileged",
        "ssh-proxy": f"-oProxyCommand={_TOUCH}",
        "upload-pack": f"--upload-pack={_TOUCH}",
        "ext-url": f"ext::sh -c '{_TOUCH}'",
        "curl-config": "-K/etc/passwd",
        "tar-checkpoint": f"--checkpoint-action=exec={_TOUCH}",
        "short": "-x",
        "end-of-options": "--",
        "response-file": "@/etc/passwd",
        "compiler-wrapper": f"-wrapper sh,-c,{_TOUCH}",
    },
    Kind.CONTROL: {
        "nul": f"x\0{_TOUCH}",
        "backspace": "good\b\b\b\bevil",
        "bell": "x\a",
        "delete": "x\x7f",
        "c1": "x\x9b31m",
        "shift-out": "x\x0e",
    },
    Kind.TERMINAL: {
        "colour": "\x1b[31mred",
        "clear": "\x1b[2J\x1b[H all is well",
        "title": "\x1b]0;owned\a",
        "hyperlink": "\x1b]8;;https://example.invalid\x1b\\click\x1b]8;;\x1b\\",
        "clipboard": "\x1b]52;c;dG91Y2g=\a",
        "rich-markup": "[link=https://example.invalid]x[/link][bold red]y[/]",
        "rich-close": "[/]",
    },
    Kind.UNICODE: {
        "bidi-override": "\u202etxt.exe",
        "bidi-isolate": "\u2066x\u2069\u2067y",
        "zero-width": "open\u200bssl",
        "word-joiner": "open\u2060ssl",
        "byte-order-mark": "\ufeffopenssl",
        "homoglyph": "\u043epenssl-3.5.7",
        "fullwidth": "\uff1b\uff0e\uff0e\uff0f",
        "digits": "\u0663.\u0660.\u0661",
        "combining": "x" + "\u0301" * 200,
        "ligature": "\ufb01le",
        "surrogate": "x\ud800y",
        "noncharacter": "x\ufffe\uffff",
        "private": "x\ue000",
        "astral": "\U0001f4a9",
        "tags": "x\U000e0041\U000e007f",
    },
    Kind.LONG: {
        "name": "a" * 300,
        "line": "a" * 70_000,
        "lines": "a\n" * 5_000,
        "nested": "(" * 5_000,
        "digits": "9" * 5_000,
        "dots": "1." * 3_000 + "1",
        "stars": "*" * 200 + "x",
    },
    Kind.YAML: {
        "python-object": f"!!python/object/apply:os.system ['{_TOUCH}']",
        "alias": "*unknown",
        "anchor": "&a [*a]",
        "merge": "<<: *a",
        "document-end": "x\n...\n---\nversion: 1",
        "flow": "{x: [y, z]}",
        "key": "x: y",
        "boolean": "yes",
        "null": "~",
        "not-a-number": ".nan",
        "infinite": ".inf",
        "sexagesimal": "1:30:00",
        "date": "2026-01-01",
        "block": "|\n  x",
        "empty": "",
        "blank": " ",
    },
    Kind.MARKUP: {
        "script": f"<script>{CANARY}=1</script>",
        "script-end": f"</script><script>{CANARY}=1</script>",
        "attribute-out": f'"><img src=x onerror={CANARY}=1>',
        "single-attribute-out": f"' onmouseover='{CANARY}=1' x='",
        "svg": f"<svg/onload={CANARY}=1>",
        "frame": f"<iframe srcdoc='<script>parent.{CANARY}=1</script>'>",
        "style-end": f"</style><script>{CANARY}=1</script>",
        "comment-end": f"--><script>{CANARY}=1</script>",
        "cdata-end": "]]><testcase name='owned'/>",
        "entity": "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
        "escaped-already": "&lt;b&gt;&#60;&amp;",
        "textarea-end": f"</textarea></title></pre><script>{CANARY}=1</script>",
        "javascript-url": f"javascript:{CANARY}=1",
        "data-url": "data:text/html,<script>parent.owned=1</script>",
        "json-out": f'"}}</script><script>{CANARY}=1</script>',
        "base": "<base href='https://example.invalid/'>",
        "meta": "<meta http-equiv=refresh content='0;url=https://example.invalid'>",
    },
    Kind.MARKDOWN: {
        "link": f"[click](javascript:{CANARY}=1)",
        "image": "![x](https://example.invalid/pixel.png)",
        "table-break": "x | y |\n| --- |\n| z",
        "fence": "```\n# owned\n```",
        "backticks": "`x` ``y`` ```z```",
        "heading": "\n# All green\n",
        "html": "<details open><summary>x</summary>",
        "mention": "@everyone #1 GH-1",
        "autolink": "https://example.invalid/<x>",
        "list": "\n- x\n1. y",
    },
    Kind.WORKFLOW: {
        "error-line": "x\n::error::owned",
        "error-start": "::error file=x,line=1::owned",
        "percent-newline": "%0A::error::owned",
        "set-output": "::set-output name=x::y",
        "stop-commands": "::stop-commands::x",
        "add-mask": "\r::add-mask::a",
        "environment-file": "x\nPATH=/owned",
        "expression": "${{ github.token }}",
        "old-command": "##[error]owned",
    },
    Kind.FORMULA: {
        "sum": f"={_SUM}",
        "command": "=cmd|'/c calc'!A1",
        "at": "@SUM(1)",
        "plus": f"+{_SUM}",
    },
    Kind.PERCENT: {
        "nul": "x%00y",
        "parent": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "newline": f"x%0d%0a{_TOUCH}",
        "double": "%252e%252e%252f",
        "overlong": "%c0%ae%c0%ae%c0%af",
        "credentials": "https://user:secret@example.invalid/x",
    },
}

CORPUS: tuple[Hostile, ...] = tuple(
    Hostile(name=f"{kind}-{name}", kind=kind, text=text)
    for kind, texts in _TEXTS.items()
    for name, text in texts.items()
)


def rows(fields: int, *, whole: bool) -> Iterator[tuple[Hostile, ...]]:
    """One value for each of so many fields, the values of one class in turn; a pair comes once at most.

    :param whole: each value comes to each field (``--whole-corpus``). Without it each class comes to each
        field, and each value to one field at least.
    """
    for kind in Kind:
        values = [value for value in CORPUS if value.kind is kind]
        for start in range(0, len(values), 1 if whole else fields):
            yield tuple(values[(start + number) % len(values)] for number in range(fields))


def tried(what: str, fields: int, pairs: int) -> str:
    """How many pairs of a field and a value a test tried, and of how many; docs/security.md shows it."""
    whole = fields * len(CORPUS)
    rest = "" if pairs == whole else "; all of them with --whole-corpus"
    return f"{what}: {fields} x {len(CORPUS)} values, {pairs:,} of {whole:,} pairs tried{rest}"


def published(what: str, fields: int) -> bool:
    """Whether docs/security.md says so of the whole product."""
    page = Path(__file__).resolve().parent.parent / "docs" / "security.md"
    return tried(what, fields, fields * len(CORPUS)) in page.read_text()


def executed(folder: Path, *texts: str) -> list[str]:
    """What shows that a value was run: a canary below ``folder``, or a sum that was worked out in a text."""
    made = [f"the file {path}" for path in folder.rglob(f"*{CANARY}*")]
    return made + [f"a sum in {text[:200]!r}" for text in texts if EVALUATED in text]
