"""What a move did: a line per thing, and the secrets that are still to set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elastic_jobs.cli.files.applying import Applied
from elastic_jobs.cli.files.model import Definitions, by_key, key
from elastic_jobs.cli.files.plan import Action, Plan, action_of, kind_of, name_of
from elastic_jobs.cli.moving.source import Finding, Outcome, Source

_OUTCOMES = {Action.CREATE: Outcome.CREATED, Action.CHANGE: Outcome.CHANGED}
_ORDER = ("credential", "target group", "job", "private endpoint", "identity", "history")


def report_lines(
    source: Source, wanted: Definitions, plan: Plan, applied: Applied, findings: Iterable[Finding]
) -> list[Finding]:
    """A line for each thing of the source, in the order of kinds and names.

    findings: what is known already about some of them; it goes before what follows from the plan.
    """
    known = {(finding.kind, key(finding.name)): finding for finding in findings}
    for change, reason in applied.failed:
        place = (kind_of(change), key(name_of(change)))
        known[place] = Finding(kind=place[0], name=name_of(change), outcome=Outcome.NOT_MOVED, reason=reason)
    changed = {(kind_of(change), key(name_of(change))): action_of(change) for change in plan.changes}
    lines = list(known.values())
    off = _switched_off(source, wanted)
    for kind, names in (("target group", by_key(wanted.groups)), ("job", by_key(wanted.jobs))):
        for folded, item in names.items():
            if (kind, folded) in known:
                continue
            action = changed.get((kind, folded))
            outcome = Outcome.UNCHANGED if action is None else _OUTCOMES[action]
            reason = (
                "Switched off; --enable switches it on as in the source." if kind == "job" and folded in off else ""
            )
            lines.append(Finding(kind=kind, name=item.name, outcome=outcome, reason=reason))
    return sorted(lines, key=lambda line: (_ORDER.index(line.kind) if line.kind in _ORDER else 0, key(line.name)))


def _switched_off(source: Source, wanted: Definitions) -> set[str]:
    """Jobs that are on in the source and off here."""
    here = by_key(wanted.jobs)
    return {
        key(job.name)
        for job in source.definitions.jobs
        if job.schedule.enabled and key(job.name) in here and not here[key(job.name)].schedule.enabled
    }


def as_json(source: Source, lines: Iterable[Finding], secrets: Mapping[str, str | None]) -> dict[str, Any]:
    """The report for programs. secrets: names of credentials whose secrets are to be set, with their user names."""
    return {
        "source": source.called,
        "results": [line.as_json() for line in lines],
        "secretsToSet": [{"credential": name, "username": user} for name, user in secrets.items()],
    }
