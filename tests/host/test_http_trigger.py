"""HTTP triggers, end to end."""

import httpx

from tests.host.harness import HostFolder

FASTAPI = """
from fastapi import FastAPI, Request, Response

web = FastAPI()

@web.get("/items/{item_id}")
async def item(item_id: str, request: Request):
    return {"item": item_id, "query": dict(request.query_params), "host": request.headers["host"],
            "forwarded": request.headers.get("x-forwarded-proto"), "url": str(request.url)}

@web.put("/items/{item_id}")
async def put(item_id: str, request: Request, response: Response):
    response.status_code = 201
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return {"length": len(await request.body())}

app = func.AsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)

@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
async def beside(msg: func.QueueMessage) -> None:
    note(event="queue")
"""


def test_a_fastapi_app_answers_through_the_host(host: HostFolder) -> None:
    host.write_app(FASTAPI)
    with host.running() as running:
        answer = running.get("/items/a%20b?x=1&y=z", headers={"X-Forwarded-Proto": "https"})
        assert answer.status_code == 200
        body = answer.json()
        assert body["item"] == "a b"
        assert body["query"] == {"x": "1", "y": "z"}
        assert body["host"] == running.url.removeprefix("http://")
        assert body["forwarded"] == "https"
        assert body["url"].startswith(running.url)
        put = httpx.put(running.url + "/items/1", content=b"x" * 300_000)
        assert put.status_code == 201
        assert put.json() == {"length": 300_000}
        assert sorted(put.headers.get_list("set-cookie")) == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]
        assert running.get("/nothing/here").json() == {"detail": "Not Found"}
        host.client().send_message("x")
        running.wait_for_notes("queue", 1)


ROUTES = """
@app.route(route="items/{id:int}", methods=["GET"])
def by_number(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({"function": "by_number", "id": req.route_params["id"]}), status_code=202,
                             mimetype="application/json", headers={"X-Own": "1"})

@app.route(route="items/{name}", methods=["GET", "HEAD"])
async def by_name(req: func.HttpRequest) -> str:
    return "by_name " + req.route_params["name"]

@app.route(route="{*rest}", methods=["POST"])
async def rest(req: func.HttpRequest) -> str:
    return json.dumps({"rest": req.route_params["rest"], "a": req.params.get("a"), "h": req.headers["x-twice"],
                       "method": req.method, "body": req.get_json(), "url": req.url})

@app.route(route="fails")
async def fails(req: func.HttpRequest) -> str:
    raise LookupError("hidden detail")

@app.route(route="off")
async def off(req: func.HttpRequest) -> str:
    return "not off"

@app.route(route="wrong")
async def wrong(req: func.HttpRequest):
    return 17
"""


def test_routes_methods_and_failures(host: HostFolder) -> None:
    host.write_app(ROUTES)
    host.host_json["extensions"]["http"]["routePrefix"] = "v1"
    host.settings["AzureWebJobs.off.Disabled"] = "true"
    with host.running() as running:
        assert running.get("/v1/off").status_code == 404
        number = running.get("/v1/items/7")
        assert (number.status_code, number.json()) == (202, {"function": "by_number", "id": "7"})
        assert number.headers["x-own"] == "1"
        assert number.headers["content-type"] == "application/json"
        assert running.get("/v1/ITEMS/seven").text == "by_name seven"
        assert httpx.head(running.url + "/v1/items/seven").content == b""
        headers = [("X-Twice", "1"), ("X-Twice", "2")]
        posted = httpx.post(running.url + "/v1/x/y%2Fz?a=1&a=2&b=", json={"k": 1}, headers=headers)
        assert posted.json() == {
            "rest": "x/y/z",
            "a": "1,2",
            "h": "1,2",
            "method": "POST",
            "body": {"k": 1},
            "url": running.url + "/v1/x/y%2Fz?a=1&a=2&b=",
        }
        assert running.get("/items/7").status_code == 404, "no prefix"
        assert httpx.delete(running.url + "/v1/items/7").status_code == 404, "no such method"
        failed = running.get("/v1/fails")
        assert (failed.status_code, failed.content) == (500, b"")
        running.wait_for_log("LookupError: hidden detail")
        assert running.get("/v1/wrong").status_code == 500
