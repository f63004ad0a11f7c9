"""Pages of lists: ``$skip``, ``$top``, and links to the next page that keep every filter.

A link goes on behind the last row of its page (``$skiptoken``), not at a count of rows: what comes in meanwhile
neither repeats nor hides a row. ``$top`` bounds the whole listing, so a link carries what is left of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import Depends, Query
from starlette.requests import Request

from elastic_jobs.api.errors import ApiError
from elastic_jobs.api.urls import public_base
from elastic_jobs.jobdb.history import Execution, ExecutionFilter, Page

PAGE_SIZE = 100
_OURS = frozenset({"$skip", "$top", "$skiptoken"})
_INT64 = 2**63 - 1
_Row = TypeVar("_Row")

Token = Annotated[str | None, Query(alias="$skiptoken", description="Where the page before ended; from its nextLink.")]


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """Which part of which listing of executions a client wants."""

    filters: ExecutionFilter
    page: Page
    top: int | None

    def finish(self, request: Request, rows: Sequence[Execution]) -> tuple[Sequence[Execution], str | None]:
        """The rows of this page (one more was read to see whether there is a next) and the link to the next."""
        size = self.page.limit - 1
        shown = rows[:size]
        left = None if self.top is None else self.top - len(shown)
        if len(rows) <= size or not shown or left == 0:
            return shown, None
        last = shown[-1]
        return shown, next_link(request, f"{last.create_time.isoformat()}|{last.id}", top=left)


async def list_query(
    create_time_min: Annotated[datetime | None, Query(alias="createTimeMin", description="At or after")] = None,
    create_time_max: Annotated[datetime | None, Query(alias="createTimeMax", description="Before")] = None,
    end_time_min: Annotated[datetime | None, Query(alias="endTimeMin", description="Completed at or after")] = None,
    end_time_max: Annotated[datetime | None, Query(alias="endTimeMax", description="Completed before")] = None,
    is_active: Annotated[bool | None, Query(alias="isActive")] = None,
    skip: Annotated[int, Query(alias="$skip", ge=0, le=_INT64)] = 0,
    top: Annotated[int | None, Query(alias="$top", ge=0, le=_INT64)] = None,
    token: Token = None,
) -> ListQuery:
    """The filters and the paging of a listing of executions."""
    filters = ExecutionFilter(
        create_time_min=_utc(create_time_min),
        create_time_max=_utc(create_time_max),
        end_time_min=_utc(end_time_min),
        end_time_max=_utc(end_time_max),
        is_active=is_active,
    )
    size = PAGE_SIZE if top is None else min(PAGE_SIZE, top)
    page = Page(limit=size + 1, skip=skip, after=None if token is None else _place(token))
    return ListQuery(filters=filters, page=page, top=top)


Listing = Annotated[ListQuery, Depends(list_query)]


def name_page(
    request: Request, rows: Sequence[_Row], name_of: Callable[[_Row], object]
) -> tuple[Sequence[_Row], str | None]:
    """A page of a list that is ordered by name or number, of which ``PAGE_SIZE`` + 1 rows were read."""
    shown = rows[:PAGE_SIZE]
    return shown, next_link(request, str(name_of(shown[-1]))) if len(rows) > PAGE_SIZE else None


def next_link(request: Request, token: str, *, top: int | None = None) -> str:
    """An absolute URL of the same listing, behind the row that the token tells."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key not in _OURS]
    if top is not None:
        kept.append(("$top", str(top)))
    kept.append(("$skiptoken", base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")))
    return f"{public_base(request)}{request.scope['path']}?{urlencode(kept, quote_via=quote)}"


def read_token(token: str) -> str:
    """What ``next_link`` put into a link.

    Raises:
        ApiError: 400, it did not.
    """
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise _bad_token() from None


def read_number_token(token: str) -> int:
    """As ``read_token``, for a list of numbers."""
    text = read_token(token)
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise _bad_token()
    return int(text)


def _place(token: str) -> tuple[datetime, UUID]:
    time, _, row_id = read_token(token).partition("|")
    try:
        return datetime.fromisoformat(time).replace(tzinfo=UTC), UUID(row_id)
    except ValueError:
        raise _bad_token() from None


def _bad_token() -> ApiError:
    return ApiError(400, "InvalidParameterValue", "The $skiptoken is not one of a nextLink; begin the list anew.")


def _utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is None:
        return None if value is None else value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:  # at the edges of the calendar; an hour more or less does not matter there
        return value.replace(tzinfo=UTC)
