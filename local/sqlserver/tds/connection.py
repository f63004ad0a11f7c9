"""One client connection: from PRELOGIN to the last request. Runs on the event loop; work goes to worker threads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

from local.sqlserver.journal import Connection as Who
from local.sqlserver.tds import login as logins
from local.sqlserver.tds import tokens
from local.sqlserver.tds.host import Endpoint
from local.sqlserver.tds.login7 import Login7, parse_login7
from local.sqlserver.tds.packets import (
    DEFAULT_PACKET_BYTES,
    MAX_PACKET_BYTES,
    MIN_PACKET_BYTES,
    Message,
    MessageAssembler,
    PacketReader,
    PacketType,
    PacketWriter,
    ProtocolError,
)
from local.sqlserver.tds.prelogin import Encryption, choose_encryption, parse_prelogin, prelogin_reply
from local.sqlserver.tds.reply import ReplyStream
from local.sqlserver.tds.requests import Requests
from local.sqlserver.tds.tls import Channel
from local.sqlserver.tds.tokens import DoneStatus

log = logging.getLogger(__name__)

T = TypeVar("T")

_TLS_HANDSHAKE_BYTE = 0x16
# A cancel that arrives just before the engine has started finds nothing to stop, so it is repeated.
CANCEL_AGAIN_SECONDS = 0.05
# Requests that may wait unread-by-us before the socket is left alone (a client sends one at a time anyway).
_MAX_WAITING = 16


class _Gone(Exception):  # noqa: N818 - a control-flow signal, not an error
    """The client closed the connection, or we did."""


class Connection(asyncio.Protocol):
    """Bytes come in by callbacks, requests go through an inbox to one task that answers them in order.

    ATTENTION does not queue: it interrupts the request that runs.
    """

    def __init__(self, endpoint: Endpoint, open_connections: set[Connection]) -> None:
        self._endpoint, self._open = endpoint, open_connections
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(endpoint.shared.tls)
        self._reader, self._assembler, self._writer = PacketReader(), MessageAssembler(), PacketWriter()
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._started = self._closed = self._paused = self._attention = False
        self._gone = threading.Event()
        self._stream: ReplyStream | None = None
        self._requests: Requests | None = None
        self._who = Who(endpoint.name)
        self.finished: asyncio.Task[None] | None = None

    # -- asyncio callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server makes no other
        self._transport = transport
        self._open.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.finished = self._loop.create_task(self._run())

    def data_received(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            if data[0] == _TLS_HANDSHAKE_BYTE:
                self._channel.start_direct()
        try:
            clear = self._channel.received(data)
            self._transport.write(self._channel.take_pending())
            for packet in self._reader.feed(clear):
                if packet.type == PacketType.ATTENTION:
                    self._on_attention()
                elif message := self._assembler.add(packet):
                    self._inbox.put_nowait(message)
        except (ProtocolError, ssl.SSLError) as error:
            log.info("%s: connection ended: %s", self._endpoint.name, error)
            # A failed handshake leaves an alert that tells the client why.
            self._transport.write(self._channel.take_pending())
            self._transport.close()
        if self._inbox.qsize() > _MAX_WAITING:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - signature of asyncio.Protocol
        self._closed = True
        self._gone.set()
        self._inbox.put_nowait(None)
        if self._stream is not None:
            self._stream.close()
            self._cancel_until_done(self._stream)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    # -- the course of a connection

    async def _run(self) -> None:
        try:
            await self._strike_connect()
            await self._prelogin()
            await self._log_in()
            while True:
                await self._serve(await self._next())
        except _Gone:
            pass
        except (ProtocolError, RecursionError) as error:
            log.warning("%s: connection ended: %s", self._endpoint.name, error)
        except Exception:
            log.exception("%s: connection ended by a fault of the emulator", self._endpoint.name)
        finally:
            self._transport.close()
            await self._end_session()
            self._open.discard(self)

    async def _end_session(self) -> None:
        if self._requests is not None:
            with contextlib.suppress(Exception):
                await self._in_worker(self._requests.close)
            self._endpoint.shared.journal.logout(self._who)

    async def _next(self) -> Message:
        message = await self._inbox.get()
        if message is None or self._closed:
            raise _Gone
        if self._inbox.qsize() < _MAX_WAITING and not self._transport.is_reading():
            self._transport.resume_reading()
        return message

    async def _strike_connect(self) -> None:
        for fault in self._endpoint.shared.faults.strike(("connect",), self._endpoint.name):
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
            elif fault.kind == "stall":
                while True:
                    await self._next()
            else:
                self._cut(reset=fault.reset)
                raise _Gone

    async def _prelogin(self) -> None:
        message = await self._next()
        if message.type != PacketType.PRELOGIN:
            raise ProtocolError(f"The first request must be PRELOGIN, not type 0x{message.type:02X}.")
        asked = parse_prelogin(message.body)
        reply = choose_encryption(
            asked.encryption, in_tls=self._channel.encrypted, require=self._endpoint.shared.require_encryption
        )
        self._send(prelogin_reply(reply, fed_auth=asked.fed_auth_required), last=True)
        if not self._channel.encrypted and reply in (Encryption.ON, Encryption.REQUIRED):
            self._channel.start_tunnel()

    async def _log_in(self) -> None:
        message = await self._next()
        if message.type != PacketType.LOGIN7:
            raise ProtocolError(f"The request after PRELOGIN must be LOGIN7, not type 0x{message.type:02X}.")
        login = parse_login7(message.body)
        verdict = await self._in_worker(
            lambda: logins.decide(self._endpoint, login, self._who, encrypted=self._channel.encrypted, gone=self._gone)
        )
        if isinstance(verdict, logins.Cut):
            self._cut(reset=verdict.reset)
            raise _Gone
        if isinstance(verdict, logins.Refused):
            reply = tokens.message(verdict.message, self._endpoint.name) + tokens.done(DoneStatus.ERROR)
            self._send(reply, last=True)
            raise _Gone
        self._requests = Requests(self._endpoint, self, self._who, verdict.session, verdict.log_in)
        self._welcome(login)

    def _welcome(self, login: Login7) -> None:
        self._writer.spid = self._who.spid & 0xFFFF
        wanted = login.packet_bytes or DEFAULT_PACKET_BYTES
        packet_bytes = min(max(wanted, MIN_PACKET_BYTES), MAX_PACKET_BYTES)
        reply = tokens.login_reply(
            self._endpoint.name, self._who.database, packet_bytes, fed_auth=login.token is not None
        )
        self._send(reply, last=True)
        self._writer.packet_bytes = packet_bytes

    async def _serve(self, message: Message) -> None:
        assert self._requests is not None  # noqa: S101 - set by _log_in
        requests, stream = self._requests, ReplyStream(self._loop, self._flush)
        self._stream = stream
        if self._attention:
            stream.cancel()
        try:
            await self._in_worker(lambda: requests.serve(message, stream))
        finally:
            self._stream = None
        if self._closed:
            raise _Gone
        self._writer.spid = requests.session.spid & 0xFFFF
        reply = stream.take(at_end=True)
        if self._attention:
            # The statement's own end first: after a lone acknowledgement execute() returns as if all was well. That end
            # says that nothing follows: with MORE, a PRINT before the cancel becomes a result of its own, and the
            # driver manager's state then races with SQLCancel (HY010, connection busy).
            self._attention = False
            reply += tokens.done(DoneStatus.ERROR) + tokens.done(DoneStatus.ATTENTION)
        else:
            reply += stream.final
        self._send(reply, last=True)
        if stream.close_after:
            raise _Gone

    async def _in_worker(self, work: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                self._loop.call_soon_threadsafe(_settle, future, None, error)
            else:
                self._loop.call_soon_threadsafe(_settle, future, result, None)

        self._endpoint.shared.workers.submit(run)
        return await future

    # -- sending

    def _send(self, body: bytes, *, last: bool) -> None:
        if not self._closed:
            self._transport.write(self._channel.wrap(self._writer.part(body, last=last)))

    def _flush(self) -> None:
        """Send what the running request has ready, unless the client is slow."""
        if self._stream is not None and not self._paused:
            self._send(self._stream.take(), last=False)

    # -- ATTENTION, cancelling and cutting

    def _on_attention(self) -> None:
        if self._stream is None and self._inbox.empty():
            # The reply crossed the ATTENTION on the wire: nothing is left to cancel.
            self._send(tokens.done(DoneStatus.ATTENTION), last=True)
            return
        self._attention = True
        if self._stream is not None:
            self._stream.cancel()
            self._cancel_until_done(self._stream)

    def _cancel_until_done(self, stream: ReplyStream) -> None:
        if self._stream is stream and self._requests is not None:
            self._requests.session.cancel()
            self._loop.call_later(CANCEL_AGAIN_SECONDS, self._cancel_until_done, stream)

    def cut(self, *, reset: bool) -> None:
        """Line.cut: from a worker thread."""
        self._loop.call_soon_threadsafe(lambda: self._cut(reset=reset))

    def cut_later(self, seconds: float, *, reset: bool) -> None:
        """Line.cut_later: the request that runs now is cut if it still runs then."""
        stream = self._stream

        def cut_if_running() -> None:
            if self._stream is stream:
                self._cut(reset=reset)

        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(seconds, cut_if_running))

    def _cut(self, *, reset: bool) -> None:
        sock = self._transport.get_extra_info("socket")
        if reset and sock is not None:
            # Linger of zero seconds: the kernel sends RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> None:
        """The server ends: cut the connection, which cancels what runs."""
        self._cut(reset=False)


def _settle(future: asyncio.Future[T], result: T | None, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # the result of the same call that made the future
