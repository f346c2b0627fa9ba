"""The scripts of the client's container, loaded into the tests' own process."""

import importlib.util
import json
import resource
import sys
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator import resources

SCRIPTS = resources.find_root() / "templates" / "probe"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded_driver(monkeypatch: pytest.MonkeyPatch, work: Path) -> ModuleType:
    """The driver of a session without cells, at work in a folder."""
    said = {"work": str(work), "ready_s": 0, "origin_port": 9, "cells": []}
    (work / "session.json").write_text(json.dumps(said))
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "argv", ["driver.py", str(work / "session.json")])
    with monkeypatch.context() as patch:  # it limits the files that its own process may write
        patch.setattr(resource, "setrlimit", lambda *_: None)
        return loaded("driver")
