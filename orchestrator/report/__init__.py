"""Renderers of a run record: HTML, JUnit, Markdown."""
