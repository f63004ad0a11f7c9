"""Templates: one environment that escapes everything and stumbles over every name that is not there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from elastic_jobs.domain.lifecycle import ACTIVE
from elastic_jobs.portal import progress, words
from elastic_jobs.portal.assets import asset_url

HTMX_CONFIG = (
    '{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true,"allowScriptTags":false,'
    '"historyEnabled":false,"historyCacheSize":0,"timeout":15000,"defaultSwapStyle":"outerHTML"}'
)
"""htmx without what the content security policy forbids, and without keeping pages in the browser's storage."""
NAVIGATION = (
    ("overview", "Overview", "/portal"),
    ("executions", "Executions", "/portal/executions"),
    ("jobs", "Jobs", "/portal/jobs"),
    ("target-groups", "Target groups", "/portal/target-groups"),
    ("credentials", "Credentials", "/portal/credentials"),
)


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a template."""
    return environment().get_template(template).render(values)


@cache
def environment() -> Environment:
    """The templates, with the filters and globals that all of them know; made once."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=400,
    )
    made.filters.update(
        utc=words.utc,
        iso=words.iso,
        ago=words.ago,
        duration=words.duration,
        number=words.number,
        plural=words.plural,
        state=words.state_class,
        state_name=words.state_name,
        path=lambda value: quote(str(value), safe=""),
        first_line=words.first_line,
        person=words.person,
        shares=progress.shares,
        in_order=progress.in_order,
        ended=progress.ended,
    )
    made.globals.update(
        asset_url=asset_url,
        htmx_config=HTMX_CONFIG,
        navigation=NAVIGATION,
        ACTIVE_STATES=ACTIVE,
    )
    return made
