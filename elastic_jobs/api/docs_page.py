"""``/docs``: the OpenAPI document as a page, with everything it needs from this app and nothing from elsewhere.

It can be opened without a token: it shows what the product can do, and nothing of the deployment. Trying an operation
out there needs a token as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from elastic_jobs.api.context import Json

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Elastic Jobs: management API</title>
<link rel="icon" href="docs/favicon.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript; the document is at <a href="docs/openapi.json">docs/openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
SwaggerUIBundle({
  url: "docs/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "none",
  filter: true,
  validatorUrl: null,
});
"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
_ASSETS = {
    "swagger-ui.css": ("swagger-ui.css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "favicon.png": ("favicon-32x32.png", "image/png"),
}
"""What the page loads: the file of the package ``fastapi-swagger``, which ships Swagger UI, and its type."""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def get_page() -> Response:
    """The page itself. Its links are relative, so that it works below any prefix."""
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)


@router.get("/docs/start.js")
def get_start() -> Response:
    """What makes the page; a file of its own, because the policy lets no script stand in the page."""
    return Response(_START, media_type="text/javascript; charset=utf-8", headers=_HEADERS)


@router.get("/docs/openapi.json")
def get_document(request: Request) -> Json:
    """The same document as ``/openapi.json``."""
    return Json(request.app.openapi())


def _serve(file: str, media_type: str) -> Callable[[], Response]:
    def get_asset() -> Response:
        return Response(_bytes(file), media_type=media_type, headers=_HEADERS)

    return get_asset


for _name, (_file, _type) in _ASSETS.items():
    router.add_api_route(f"/docs/{_name}", _serve(_file, _type), methods=["GET"])

DOCS_PATHS = frozenset({"/docs", "/docs/start.js", "/docs/openapi.json", *(f"/docs/{name}" for name in _ASSETS)})
"""The paths of the page, all of them without a token."""


@cache
def _bytes(name: str) -> bytes:
    return (files("fastapi_swagger") / "resources" / name).read_bytes()
