"""The files that pages load: a hash of the content stands in each address, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from elastic_jobs.api.paths import PORTAL_PREFIX
from elastic_jobs.errors import NotFoundError

PREFIX = f"{PORTAL_PREFIX}/assets"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_NAMES = ("portal.css", "portal.js", "theme.js", "icon.svg", "htmx.js")
_HTMX = "js_lib_htmx"

router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file; ``name`` has the hash in it."""

    name: str
    content: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """All files by their plain names; read once.

    Raises:
        FileNotFoundError: the package that carries htmx is not installed.
    """
    found = {}
    for name in _NAMES:
        content = _read(name)
        stem, _, suffix = name.rpartition(".")
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[name] = Asset(name=f"{stem}.{digest}.{suffix}", content=content, media_type=_TYPES[f".{suffix}"])
    return found


def asset_url(name: str) -> str:
    """The address of a file, for templates."""
    return f"{PREFIX}/{assets()[name].name}"


@router.get("/assets/{name}")
def get_asset(name: str) -> Response:
    """A file, to be kept for a year: another content has another address. Open to all: the source is public."""
    for asset in assets().values():
        if asset.name == name:
            headers = {"Cache-Control": "public, max-age=31536000, immutable"}
            return Response(asset.content, media_type=asset.media_type, headers=headers)
    raise NotFoundError("file", name)


def _read(name: str) -> bytes:
    if name != "htmx.js":
        return (files("elastic_jobs.portal") / "static" / name).read_bytes()
    # The package is for Django and imports it; only its file is wanted.
    spec = find_spec(_HTMX)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("The package django-js-lib-htmx is missing; install requirements.txt.")
    return (Path(spec.submodule_search_locations[0]) / "static" / "htmx" / "htmx.min.js").read_bytes()
