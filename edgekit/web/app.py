"""The pages: what is served under which path, over a `Board`.

/                     the page for people; /login and /logout where there is a token
/healthz  /readyz     for machines: does the supervisor speak, does the loop recognise anything
/metrics              for Prometheus
/api/status           the newest status as JSON
/api/events           server-sent events: the status about twice a second, and events as they come
/camera/<name>.jpg    the newest picture with what was seen in it; 204 where there is none yet: asking has it drawn
/camera/<name>/live   the same as multipart JPEG, for a viewer or another page
"""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import parse_qs

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from edgekit.secret import Secret
from edgekit.web.board import Board
from edgekit.web.door import COOKIE, SESSION_S, Door, Key, said
from edgekit.web.health import not_ready
from edgekit.web.metrics import registry
from edgekit.web.streams import events_response, live_response

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
MOST_FOLLOWERS = 16
_LONGEST_FORM = 1024
_LATER = {"Retry-After": "10"}


def make_app(
    board: Board, token: Secret | str | None = None, *, most_streams: int = 8, live_fps: float = 5.0
) -> Starlette:
    """The application. Without a token it answers only to loopback names; who serves it elsewhere must give one.

    most_streams: live streams at a time, over all cameras. live_fps: pictures a second in each, at most. `ValueError`
    where the token is too short to keep anybody out.
    """
    if most_streams < 1 or not 0 < live_fps <= 30:
        raise ValueError(
            f"most_streams must be at least 1, live_fps above 0 and at most 30; got {most_streams}, {live_fps}"
        )
    key = None if token is None else Key(token.read() if isinstance(token, Secret) else token)
    app = Starlette(routes=_ROUTES, middleware=[Middleware(Door, key=key)])
    app.state.board, app.state.key = board, key
    app.state.most_streams, app.state.live_fps = most_streams, live_fps
    app.state.metrics = registry(board)
    app.state.ending = lambda: False  # whoever serves it says when its streams must end
    return app


def _board(request: Request) -> Board:
    board: Board = request.app.state.board
    return board


async def healthz(request: Request) -> Response:
    reason = _board(request).silence()
    return JSONResponse(
        {"ok": reason is None, "reasons": [] if reason is None else [reason]}, 200 if reason is None else 503
    )


async def readyz(request: Request) -> Response:
    reasons = not_ready(_board(request))
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def status(request: Request) -> Response:
    board = _board(request)
    if board.status is None:
        return said(str(board.silence()), 503)
    return JSONResponse({**board.status, "status_age_s": board.age_s()})


async def events(request: Request) -> Response:
    board = _board(request)
    if board.followers >= MOST_FOLLOWERS:
        return said(f"{MOST_FOLLOWERS} pages follow already, which is the most", 503, _LATER)
    return events_response(board, request)


async def picture(request: Request) -> Response:
    board, name = _board(request), request.path_params["name"]
    if name not in board.cameras():
        return _no_camera(name, board)
    jpeg = board.picture(name)
    return Response(status_code=204) if jpeg is None else Response(jpeg, media_type="image/jpeg")


async def live(request: Request) -> Response:
    board, name, most = _board(request), request.path_params["name"], request.app.state.most_streams
    if name not in board.cameras():
        return _no_camera(name, board)
    if board.streams >= most:
        return said(f"{most} live streams are open already, which is the most", 503, _LATER)
    return live_response(board, name, request.app.state.live_fps, request)


def _no_camera(name: str, board: Board) -> Response:
    return said(f"no camera named '{name}'; there are: {', '.join(board.cameras()) or 'none yet'}", 404)


async def home(request: Request) -> Response:
    return _file("index.html", shown=b"logout" if request.app.state.key else None)


async def page_file(request: Request) -> Response:
    return _file(request.path_params["name"])


def _file(name: str, status_code: int = 200, shown: bytes | None = None) -> Response:
    """A file of the page; `shown` is the id of an element in it that is hidden otherwise."""
    path = files("edgekit.web") / "page" / name
    kind = KINDS.get(name.rpartition(".")[2])
    if kind is None or "/" in name or not path.is_file():
        return said("no such file", 404)
    content = path.read_bytes()
    if shown is not None:
        content = content.replace(b'id="%b" hidden' % shown, b'id="%b"' % shown)
    return Response(content, status_code, media_type=kind, headers={"Cache-Control": "no-cache"})


async def login(request: Request) -> Response:
    key: Key | None = request.app.state.key
    if key is None:
        return RedirectResponse("/", 303)
    if request.method == "GET":
        return _file("login.html")
    if not key.is_token(await _token_of_form(request)):
        return _file("login.html", 401, shown=b"refused")
    return _with_session(RedirectResponse("/", 303), key.session(), SESSION_S)


async def logout(request: Request) -> Response:
    return _with_session(RedirectResponse("/login", 303), "", 0)


def _with_session(response: Response, session: str, lasts_s: int) -> Response:
    """Not `Secure`: a box in a back room has no certificate, and a browser would not send it back over plain HTTP."""
    response.set_cookie(COOKIE, session, max_age=lasts_s, httponly=True, samesite="strict", path="/")
    return response


async def _token_of_form(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_FORM:
            return ""
    return parse_qs(body.decode("ascii", "replace")).get("token", [""])[0].strip()


_ROUTES = [
    Route("/", home),
    Route("/page/{name}", page_file),
    Route("/login", login, methods=["GET", "POST"]),
    Route("/logout", logout, methods=["POST"]),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
    Route("/api/status", status),
    Route("/api/events", events),
    Route("/camera/{name}.jpg", picture),
    Route("/camera/{name}/live", live),
]
