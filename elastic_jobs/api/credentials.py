"""Credentials. A password goes in and never comes out."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Response

from elastic_jobs.api.bodies import CredentialBody
from elastic_jobs.api.context import KEEP_CREDENTIALS, READ, Call, Json, saved
from elastic_jobs.api.envelope import listing
from elastic_jobs.api.paging import PAGE_SIZE, Token, name_page, read_token
from elastic_jobs.api.paths import Segment
from elastic_jobs.api.repeating import RepeatingRoute
from elastic_jobs.errors import CredentialError
from elastic_jobs.jobdb.definitions import credentials

router = APIRouter(prefix="/credentials", tags=["credentials"], route_class=RepeatingRoute)


@router.get("", dependencies=[READ])
def list_credentials(call: Call, token: Token = None) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        after = None if token is None else read_token(token)
        rows = credentials.list_credentials(connection, after=after, limit=PAGE_SIZE + 1)
        envelope = call.envelope_with_origins(connection, agent, (f"credentials/{row.name}" for row in rows))
    shown, link = name_page(call.request, rows, lambda row: row.name)
    return Json(listing([envelope.credential(row) for row in shown], link))


@router.get("/{credential_name}", dependencies=[READ])
def get_credential(call: Call, credential_name: Segment) -> Json:
    with call.read() as connection:
        agent = call.agent(connection)
        found = credentials.get_credential(connection, credential_name)
        envelope = call.envelope_with_origins(connection, agent, [f"credentials/{found.name}"])
    return Json(envelope.credential(found))


@router.put("/{credential_name}", dependencies=[KEEP_CREDENTIALS])
def put_credential(call: Call, credential_name: Segment, body: CredentialBody) -> Json:
    new = credentials.NewCredential(
        name=credential_name,
        username=body.properties.username,
        password=body.properties.password,
        allowed_servers=body.properties.servers,
    )
    with call.read() as connection:
        call.agent(connection)
    # What is refused must not have changed the secret in a vault.
    credentials.checked_scope(call.edit, new.allowed_servers or (), f"credential '{new.name}'")
    # Before the transaction: a vault may take seconds, and the transaction holds the locks of all definitions.
    sealed = credentials.seal_new(new, call.services.sealer)
    with call.write() as connection:
        agent = call.agent(connection)
        credential, created = credentials.save_credential(connection, call.edit, new, sealed)
        envelope = call.envelope_with_origins(connection, agent, [f"credentials/{credential.name}"])
    return saved(envelope.credential(credential), created=created)


@router.delete("/{credential_name}", dependencies=[KEEP_CREDENTIALS])
def delete_credential(call: Call, credential_name: Segment) -> Response:
    with call.write() as connection:
        call.agent(connection)
        stored = credentials.find_stored(connection, credential_name)
        deleted = credentials.delete_credential(connection, call.edit, credential_name)
    if deleted and stored is not None:
        # Logged where it happens. The credential is gone; what is left of it in a vault the next PUT overwrites.
        with suppress(CredentialError):
            call.services.sealer.forget(stored.name, stored.sealed)
    return Response(status_code=200 if deleted else 204)
