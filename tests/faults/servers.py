"""A server of files on this machine that misbehaves for the paths it is told."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path


class Handler(http.server.SimpleHTTPRequestHandler):
    """`faults` maps the end of a path to what happens instead; `asked` lists what was asked for."""

    protocol_version = "HTTP/1.1"
    faults: dict[str, Callable[["Handler"], object]]
    asked: list[str]
    over: threading.Event
    sent = 0  # bytes of an endless answer

    def do_GET(self) -> None:
        self.asked.append(self.path)
        fault = next((fault for end, fault in self.faults.items() if self.path.endswith(end)), None)
        with suppress(OSError):
            if fault is None or fault(self) is serve:
                super().do_GET()

    def send(self, content: bytes, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": len(content)} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(content)

    def content(self) -> bytes:
        return Path(self.translate_path(self.path)).read_bytes()

    def log_message(self, *_: object) -> None:
        pass


def serve(handler: Handler) -> object:
    return serve


def status(code: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send(b"" if code == 204 else b"no", code)


def silent(handler: Handler) -> None:
    handler.over.wait()


def promising(handler: Handler) -> None:
    """A length, and then nothing."""
    handler.send(b"", **{"Content-Length": len(handler.content())})
    handler.over.wait()


def dripping(handler: Handler) -> None:
    content = handler.content() * 100
    handler.send(b"", **{"Content-Length": len(content)})
    for byte in content:
        if handler.over.wait(0.02):
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def dropping(handler: Handler) -> None:
    handler.close_connection = True


def short(handler: Handler) -> None:
    handler.send(handler.content()[:-20], **{"Content-Length": len(handler.content())})
    handler.close_connection = True


def short_of_unknown_length(handler: Handler) -> None:
    handler.send(handler.content()[:-20], **{"Content-Length": None, "Connection": "close"})
    handler.close_connection = True


def endless(handler: Handler) -> None:
    handler.send(b"", **{"Content-Length": None, "Connection": "close"})
    handler.close_connection = True
    while not handler.over.is_set() and type(handler).sent < 2**28:
        handler.wfile.write(bytes(2**16))
        type(handler).sent += 2**16


def enormous(handler: Handler) -> None:
    """The same, of a length that is told."""
    handler.send(b"", **{"Content-Length": 2**32})
    endless(handler)


def page(handler: Handler) -> None:
    handler.send(b"<html><body>Sign in first</body></html>", **{"Content-Type": "text/html"})


def in_turn(*faults: Callable[[Handler], object]) -> Callable[[Handler], object]:
    """One after the other; the last from then on."""
    left = list(faults)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


@contextmanager
def serving(folder: Path, faults: dict[str, Callable[[Handler], object]]) -> Iterator[tuple[str, type[Handler]]]:
    """The address of the folder, and the handler."""
    over = threading.Event()
    own = type("Own", (Handler,), {"faults": faults, "asked": [], "over": over})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(own, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", own
    finally:
        over.set()
        server.shutdown()
        server.server_close()
