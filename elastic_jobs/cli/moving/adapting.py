"""What of a source this agent can hold, and in which form. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from elastic_jobs.cli.files.model import (
    CredentialUse,
    Definitions,
    GroupDefinition,
    JobDefinition,
    by_key,
    credential_uses,
    key,
)
from elastic_jobs.cli.files.state import AgentState
from elastic_jobs.cli.moving.source import Finding, Outcome, Source


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """The definitions to bring here, and what was left out or changed on the way."""

    definitions: Definitions
    findings: tuple[Finding, ...]


def adapt(source: Source, state: AgentState, *, enable: bool, unset: frozenset[str] = frozenset()) -> Adapted:
    """The source's definitions as this agent can hold them.

    Schedules of jobs that are new here are off, and of others as they are here, unless ``enable``; a job whose
    credential is one of ``unset`` (keys of names whose secrets are still to set) is not switched on then either.
    With an identity no credential is named; without one, what lacks a credential cannot come.
    """
    findings: list[Finding] = []
    definitions = source.definitions
    if state.has_identity:
        definitions = _without_credentials(definitions, findings)
    else:
        definitions = _with_known_credentials(definitions, state.credentials, findings)
    definitions = _with_groups(definitions, findings)
    jobs = tuple(
        _switched(job, by_key(state.definitions.jobs), definitions, enable=enable, unset=unset, findings=findings)
        for job in definitions.jobs
    )
    return Adapted(definitions=replace(definitions, jobs=jobs).sorted(), findings=tuple(findings))


def _without_credentials(definitions: Definitions, findings: list[Finding]) -> Definitions:
    for name, kind in sorted({_place(use) for use in credential_uses(definitions) if use.credential is not None}):
        reason = "It moves without its credential names: this agent reaches its targets by its identity."
        findings.append(Finding(kind=kind, name=name, outcome=Outcome.ADAPTED, reason=reason))
    groups = tuple(
        replace(group, members=tuple(replace(member, refresh_credential_name=None) for member in group.members))
        for group in definitions.groups
    )
    jobs = tuple(
        replace(
            job,
            steps=tuple(
                replace(
                    step,
                    credential_name=None,
                    output=None if step.output is None else replace(step.output, credential_name=None),
                )
                for step in job.steps
            ),
        )
        for job in definitions.jobs
    )
    return Definitions(groups=groups, jobs=jobs)


def _place(use: CredentialUse) -> tuple[str, str]:
    return (use.group, "target group") if use.group is not None else (use.job or "", "job")


def _with_known_credentials(
    definitions: Definitions, credentials: Mapping[str, str], findings: list[Finding]
) -> Definitions:
    known = {key(name) for name in credentials}
    refused: set[tuple[str, str]] = set()
    for use in credential_uses(definitions):
        if use.credential is not None and key(use.credential) in known:
            continue
        place = _place(use)
        if place in refused:
            continue
        refused.add(place)
        missing = (
            f"The {use.where} names no credential, and this agent has no identity; give it one, or name a credential "
            "in the source."
            if use.credential is None
            else f"The {use.where} needs the credential '{use.credential}', which is not here."
        )
        findings.append(Finding(kind=place[1], name=place[0], outcome=Outcome.NOT_MOVED, reason=missing))
    return Definitions(
        groups=tuple(group for group in definitions.groups if (group.name, "target group") not in refused),
        jobs=tuple(job for job in definitions.jobs if (job.name, "job") not in refused),
    )


def _with_groups(definitions: Definitions, findings: list[Finding]) -> Definitions:
    groups = by_key(definitions.groups)
    kept = []
    for job in definitions.jobs:
        lost = next((step for step in job.steps if key(step.target_group_name) not in groups), None)
        if lost is None:
            kept.append(job)
            continue
        reason = f"Its step '{lost.name}' runs on the target group '{lost.target_group_name}', which does not move."
        findings.append(Finding(kind="job", name=job.name, outcome=Outcome.NOT_MOVED, reason=reason))
    return replace(definitions, jobs=tuple(kept))


def _switched(
    job: JobDefinition,
    here: Mapping[str, JobDefinition],
    definitions: Definitions,
    *,
    enable: bool,
    unset: frozenset[str],
    findings: list[Finding],
) -> JobDefinition:
    """The job with its schedule on or off."""
    own = here.get(key(job.name))
    stays = own.schedule.enabled if own is not None else False
    wanted = job.schedule.enabled if enable else stays
    if wanted and not stays:
        waits = [name for name in _credentials_of(job, definitions) if key(name) in unset]
        if waits:
            wanted = False
            reason = f"It moves switched off: the secret of the credential '{waits[0]}' is not set yet."
            findings.append(Finding(kind="job", name=job.name, outcome=Outcome.ADAPTED, reason=reason))
    return replace(job, schedule=replace(job.schedule, enabled=wanted))


def _credentials_of(job: JobDefinition, definitions: Definitions) -> Iterator[str]:
    """The credentials that a run of the job needs, those of its target groups too."""
    used = {key(step.target_group_name) for step in job.steps}
    groups: tuple[GroupDefinition, ...] = tuple(group for group in definitions.groups if key(group.name) in used)
    for use in credential_uses(Definitions(groups=groups, jobs=(job,))):
        if use.credential is not None:
            yield use.credential
