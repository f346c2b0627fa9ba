"""``moves.json``: which cells moved between two nights, for each place that has a rule for it."""

import json
from pathlib import Path
from typing import Any

from orchestrator.site.year import Point

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("moves.json").read_text())
IDS = [case["says"] for case in CASES]


def point(name: str, cell: dict[str, str]) -> Point:
    same = {"cipher": "default", "client": "curl", "client_family": "curl", "execution": "default"}
    return Point(id=name, **same, **cell)
