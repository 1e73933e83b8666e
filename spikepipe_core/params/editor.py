"""The editor of params files: serves the page in ``params_app`` on this machine only.

The page is static; what it asks for beyond its files is one thing, at ``/check``: to bring params of an older layout to
today's, and to check what the JSON Schema cannot say. This module imports the standard library alone, so that
``python params_app/serve.py`` works from a checkout with nothing installed.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Check", "EditorServer", "app_folder", "serve"]

HOST = "127.0.0.1"
MAX_BYTES = 4 * 2**20
"""The same limit that `spikepipe_core.params.files` has for a params file."""

_HERE = Path(__file__).resolve().parent
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FROM_THE_PACKAGE = ("default_params_schema.json", "default_params.json")
"""Files that lie beside this module, served at the top for other editors' ``$schema``."""

Check = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes params, returns ``params`` of today's layout, ``changes`` in words, and ``problems`` (None: not checked)."""


def app_folder() -> Path:
    """Return the folder of the page: in the installed package, or at the top of a checkout."""
    for folder in (_HERE.parent / "params_app", _HERE.parents[1] / "params_app"):
        if (folder / "index.html").is_file():
            return folder
    raise FileNotFoundError(
        "the editor's page (params_app) is neither in the installed package nor beside it"
    )


class EditorServer(ThreadingHTTPServer):
    """Serves the page to browsers on this machine.

    Parameters
    ----------
    port : int
        0 takes a free one.
    check : callable
        Answers ``/check``.
    app : Path
        Folder of the page.
    """

    daemon_threads = True

    def __init__(self, port: int, check: Check, app: Path):
        self.check, self.app = check, app
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that was closed before its answer came."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_port}/"


def serve(port: int, check: Check, *, open_browser: bool = True, app: Path | None = None) -> int:
    """Serve the page until interrupted; print its address and open it.

    Raises
    ------
    OSError
        The port is taken, or the page is not there.
    """
    with EditorServer(port, check, app or app_folder()) as server:
        print(f"params editor: {server.url}   (Ctrl-C to stop)", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


class _Handler(BaseHTTPRequestHandler):
    server: EditorServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send one of the page's files."""
        file = self._file()
        if not self._is_from_here() or file is None:
            self._send(HTTPStatus.NOT_FOUND, b"not here\n", "text/plain")
        else:
            self._send(HTTPStatus.OK, file.read_bytes(), _TYPES[file.suffix])

    def do_POST(self) -> None:
        """Answer ``/check``."""
        params = self._posted() if self.path == "/check" and self._is_from_here() else None
        if params is None:
            self._send(HTTPStatus.BAD_REQUEST, b"not a params object\n", "text/plain")
            return
        try:
            answer = self.server.check(params)
        except Exception as error:  # whatever is in a file, the page goes on with its own check
            self._send(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}\n".encode(), "text/plain")
            return
        self._send(HTTPStatus.OK, json.dumps(answer).encode(), "application/json")

    def _file(self) -> Path | None:
        name = self.path.split("?", 1)[0].split("#", 1)[0].lstrip("/") or "index.html"
        if name in _FROM_THE_PACKAGE:
            return _HERE / name
        file = (self.server.app / name).resolve()
        inside = file.is_relative_to(self.server.app.resolve())
        return file if inside and file.suffix in _TYPES and file.is_file() else None

    def _posted(self) -> dict[str, Any] | None:
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not length.isdigit():
            return None
        if int(length) > MAX_BYTES:
            self.close_connection = True
            return None
        try:
            params = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return None
        return params if isinstance(params, dict) else None

    def _is_from_here(self) -> bool:
        """Refuse what another site's page sends through a person's browser."""
        port = self.server.server_port
        own = {f"{name}:{port}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in own and (origin is None or origin.removeprefix("http://") in own)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        # unsafe-eval: the schema is compiled to a function in the page
        self.send_header(
            "Content-Security-Policy",
            "default-src 'self'; script-src 'self' 'unsafe-eval'; frame-ancestors 'none'",
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page load is no news."""
