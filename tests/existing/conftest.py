"""Suites as strangers have them: each is run as a project of its own, and is not part of these tests."""

from __future__ import annotations

collect_ignore = ["suites"]
