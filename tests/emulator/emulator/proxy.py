"""The proxy in front of the backend: passes requests on, and injects the faults that tests ask for.

A proxy, not a part of moto, so that connections can really break and the second backend has the same faults.
"""

import asyncio
import json
import socket
import struct
from urllib.parse import parse_qs

from . import answers
from .faults import Faults
from .requests import Request

_HEAD_MAX = 256 * 1024
_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length", "proxy-connection"}


class Broken(Exception):
    """The connection ends here."""


async def _read_head(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers.append((name, value.strip()))
    return first, headers


async def _read_chunks(reader):
    parts = []
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            while (await reader.readline()).strip():
                pass
            return b"".join(parts)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)


async def _read_body(reader, named):
    if named.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    return await reader.readexactly(int(named.get("content-length") or 0))


class Proxy:
    def __init__(self, backend_port):
        self.backend_port = backend_port
        self.faults = Faults()

    async def serve(self, port=0, host="127.0.0.1"):
        """Listens; returns the server and its port."""
        server = await asyncio.start_server(self._connection, host, port, limit=_HEAD_MAX, backlog=512)
        return server, server.sockets[0].getsockname()[1]

    async def _connection(self, reader, writer):
        try:
            while await self._exchange(reader, writer):
                pass
        except (Broken, ConnectionError, asyncio.IncompleteReadError, ValueError):
            _reset(writer)
        except asyncio.CancelledError:
            # The emulator ends; who waits for it sees the connection close.
            pass
        finally:
            writer.close()

    async def _exchange(self, reader, writer):
        head = await _read_head(reader)
        if head is None:
            return False
        first, headers = head
        method, target, version = first.split(" ", 2)
        named = {name.lower(): value for name, value in headers}
        if "100-continue" in named.get("expect", "").lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, named)
        if target.startswith(("/_faults", "/_calls")):
            answer = self._admin(method, target, body)
        else:
            answer = await self._aws(method, target, headers, named, body)
        keep = version == "HTTP/1.1" and named.get("connection", "").lower() != "close"
        await _write(writer, answer, method, keep)
        return keep

    def _admin(self, method, target, body):
        path, _, query = target.partition("?")
        name = parse_qs(query).get("name", [""])[0]
        try:
            if path == "/_calls":
                result = self.faults.calls(name)
            elif method == "POST":
                result = {"id": self.faults.add(json.loads(body))}
            elif method == "DELETE":
                self.faults.clear(name)
                result = {}
            else:
                result = self.faults.rules(name)
        except (ValueError, TypeError, AttributeError) as problem:
            return answers.Answer(400, [("Content-Type", "text/plain")], str(problem).encode())
        return answers.Answer(200, [("Content-Type", "application/json")], json.dumps(result).encode())

    async def _aws(self, method, target, headers, named, body):
        request = Request(method, target, named, body)
        rule = self.faults.take(request)
        if rule is None:
            return await self._forward(request, headers, body)
        if rule.kind in ("throttle", "error", "conflict"):
            return self._refusal(rule, request)
        if rule.kind == "reset":
            raise Broken
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return await self._forward(request, headers, body)
        if rule.kind == "partial":
            batch = answers.split(request, rule.entries, rule.code or "InternalFailure")
            if batch is None:
                return answers.Answer(500, [], f"{request.action} is no batch that can fail in part".encode())
            done = await self._forward(request, headers, batch.kept) if batch.kept is not None else None
            return batch.join(done)
        # The rest happens after the effect.
        done = await self._forward(request, headers, body)
        if rule.kind == "reset-after":
            raise Broken
        if rule.kind == "hang-after":
            await asyncio.sleep(rule.seconds)
            return done
        return self._refusal(rule, request)

    @staticmethod
    def _refusal(rule, request):
        if rule.kind == "conflict":
            return answers.cancelled_by_conflict(request)
        code, status = answers.throttled(request.service) if rule.kind == "throttle" else answers.internal(request.service)
        return answers.error(request, rule.code or code, int(rule.status or (400 if rule.code else status)))

    async def _forward(self, request, headers, body):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.backend_port, limit=_HEAD_MAX)
        try:
            lines = [f"{request.method} {request.target} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _HOP]
            lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
            writer.write("\r\n".join(lines).encode("latin-1") + body)
            await writer.drain()
            head = await _read_head(reader)
            while head is not None and head[0].split(" ")[1] == "100":
                head = await _read_head(reader)
            if head is None:
                raise Broken
            first, answered = head
            status = int(first.split(" ")[1])
            named = {name.lower(): value for name, value in answered}
            if request.method == "HEAD" or status in (204, 304):
                content = b""
            elif "content-length" in named or "transfer-encoding" in named:
                content = await _read_body(reader, named)
            else:
                content = await reader.read()
            # A HEAD answer says how long the body would be.
            told = {"content-length"} if request.method == "HEAD" else set()
            kept = [(name, value) for name, value in answered if name.lower() not in _HOP - told]
            return answers.Answer(status, kept, content)
        finally:
            writer.close()


async def _write(writer, answer, method, keep):
    names = {name.lower() for name, _ in answer.headers}
    lines = [f"HTTP/1.1 {answer.status} {answer.reason or 'Answer'}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.status not in (204, 304) and not (method == "HEAD" and "content-length" in names):
        lines.append(f"Content-Length: {len(answer.body)}")
    lines += ["Connection: keep-alive" if keep else "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode("latin-1") + answer.body)
    await writer.drain()


def _reset(writer):
    """Ends the connection with RST instead of FIN, as a machine that dies does."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
