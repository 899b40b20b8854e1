"""The command `modelenv env`: which environment was detected, and why."""

from __future__ import annotations

from dataclasses import asdict

from modelenv.commands.outcome import Outcome, columns
from modelenv.environment.detection import explain_environment
from modelenv.environment.settings import Settings


def explain(settings: Settings) -> Outcome:
    """Return the detected source, the finding of each probe, and the origin of each setting."""
    explanation = explain_environment(settings=settings)
    root = settings.root_of(explanation.source)
    facts = {
        "source": explanation.source.value,
        "reason": explanation.reason,
        "root": None if root is None else str(root),
        "timeout": settings.timeout_of(explanation.source),
        "device": settings.device,
    }
    probes = [(found.probe, found.answer or "-", found.detail) for found in explanation.findings]
    values = ((name, getattr(settings, name), origin) for name, origin in settings.origins.items())
    values = ((name, "-" if value is None else str(value), origin) for name, value, origin in values)
    lines = [
        f"{facts['source']}, decided by {facts['reason']}",
        f"models: {facts['root'] or 'none, fakes only'}; timeout {facts['timeout']:g} s",
        "",
        *columns(("probe", "answer", "found"), *probes),
        "",
        *columns(("setting", "value", "from"), *values),
    ]
    findings = [asdict(found) for found in explanation.findings]
    return Outcome(lines, {**facts, "probes": findings, "origins": dict(settings.origins)})
