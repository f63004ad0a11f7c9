"""Credentials. A password goes in and never comes out."""

from __future__ import annotations

from fastapi import APIRouter, Response

from elastic_jobs.api.bodies import CredentialBody
from elastic_jobs.api.context import KEEP_CREDENTIALS, READ, Call, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.jobdb.definitions import credentials

router = APIRouter(prefix="/credentials", tags=["credentials"])


@router.get("", dependencies=[READ])
def list_credentials(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = credentials.list_credentials(connection, after=after, limit=PAGE_SIZE + 1)
    shown, link = name_page(call.request, rows, lambda row: row.name)
    envelope = call.envelope(agent)
    return Json(listing([envelope.credential(row) for row in shown], link))


@router.get("/{credential_name}", dependencies=[READ])
def get_credential(call: Call, credential_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        found = credentials.get_credential(connection, credential_name)
    return Json(call.envelope(agent).credential(found))


@router.put("/{credential_name}", dependencies=[KEEP_CREDENTIALS])
def put_credential(call: Call, credential_name: Segment, body: CredentialBody) -> Json:
    with call.write() as connection:
        agent = call.agent(connection)
        new = credentials.NewCredential(
            name=credential_name, username=body.properties.username, password=body.properties.password
        )
        credential, created = credentials.save_credential(connection, call.edit, new, call.services.sealer)
    return saved(call.envelope(agent).credential(credential), created=created)


@router.delete("/{credential_name}", dependencies=[KEEP_CREDENTIALS])
def delete_credential(call: Call, credential_name: Segment) -> Response:
    with call.write() as connection:
        call.agent(connection)
        deleted = credentials.delete_credential(connection, call.edit, credential_name)
    return Response(status_code=200 if deleted else 204)
