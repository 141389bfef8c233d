"""zarr stores behind HTTP. The server may be slow, broken or hostile, so every answer is bounded in time and in size.

An object whose transfer fails is requested again a few times. Metadata are checked when they arrive, so zarr uses what
was checked. An absent object (404) is refused where zarr would read it as numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import unquote

import aiohttp
from yarl import URL
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from pinnwx.data.chunks import may_be_zero
from pinnwx.data.readers import first_line
from pinnwx.data.zarr_codecs import Declarations
from pinnwx.data.zarr_metadata import LARGEST_METADATA, ArrayLayout, is_metadata
from pinnwx.errors import DataError, UnavailableError, UnreadableError
from pinnwx.sources.base import START_AGAIN

ATTEMPTS = 4  # for each object; a time-out counts as two
FIRST_PAUSE = 1.0  # seconds; each pause is twice as long as the one before
SLOWEST = 1000  # bytes per second
_ABSENT, _BUSY = (404, 410), (408, 425, 429, 500, 502, 503, 504)
_LINK = re.compile(r'href="([^"/?#:]+)/?"')


class HttpStore(Store):
    """A store to read from; a server must send data within `timeout` seconds."""

    supports_writes: bool = False  # type: ignore[assignment]
    supports_deletes: bool = False  # type: ignore[assignment]
    supports_listing: bool = True  # type: ignore[assignment]

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(read_only=True)
        self._root, self._timeout = URL(url), timeout
        self._declared = Declarations()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._active: set[asyncio.Task[Any]] = set()
        self._is_ending, self._late_requests = False, 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HttpStore) and self._root == other._root

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The content of an object, or a part of it; None for an absent object that stands for no number.

        Raises:
            DataError: the object is absent and would read as numbers, or is metadata that cannot be used.
            UnavailableError: the server does not send it.
        """
        if self._is_ending:
            self._late_requests += 1
            raise UnavailableError(f"{self._root} is closed")
        task = asyncio.current_task()
        assert task is not None
        self._active.add(task)
        try:
            content = await self._checked(key, byte_range)
        finally:
            self._active.discard(task)
        return None if content is None else prototype.buffer.from_bytes(content)

    async def _checked(self, key: str, byte_range: ByteRequest | None) -> bytes | None:
        """As `get`."""
        if ".." in key.split("/"):
            raise DataError(f'"{key}" leads out of the store {self._root}')
        layout = None if is_metadata(key) else self._declared.layout_of(key)
        most = LARGEST_METADATA if layout is None else layout.largest(layout.chunk)
        content = await self._patiently(self._root.joinpath(key), most, byte_range)
        if layout is not None:
            _require_present(key, layout, layout.name in self._declared.coordinates, content, byte_range)
        elif content is not None and is_metadata(key):
            return self._declared.admitted(key, content, consolidated=True)
        return content

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return await self.get(key, default_buffer_prototype()) is not None

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The links on the page that a server shows for a folder.

        Raises:
            DataError: the server shows no such page.
        """
        page = await self._patiently(self._root.joinpath(prefix, ""), LARGEST_METADATA, None)
        if page is None or b"<" not in page:
            raise DataError(
                f"{self._root} has no consolidated metadata, and its server lists no folders; write them with "
                "zarr.consolidate_metadata"
            )
        for name in dict.fromkeys(_LINK.findall(page.decode(errors="replace"))):
            if not is_metadata(name) and name not in (".", ".."):
                yield unquote(name)

    def close(self) -> None:
        super().close()
        if self._session is not None and self._loop is not None:
            ended = asyncio.run_coroutine_threadsafe(self._end(self._session), self._loop)
            with contextlib.suppress(Exception):  # otherwise the connections end with the process
                ended.result(self._timeout)

    async def _end(self, session: aiohttp.ClientSession) -> None:
        """Cancels the transfers in progress: after a failure zarr does not wait for the other objects."""
        self._is_ending, quiet = True, 0
        while quiet < 20:  # turns of the event loop without a new request
            before = self._late_requests
            for task in self._active:
                task.cancel()
            await asyncio.sleep(0)
            quiet = 0 if self._active or self._late_requests > before else quiet + 1
        await session.close()

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError

    async def _patiently(self, url: URL, most: int, part: ByteRequest | None) -> bytes | None:
        """The content of an object, with retries after a pause; None for an absent object.

        Raises:
            UnavailableError: all attempts fail, or the answer is larger than the object can be.
        """
        left, pause = ATTEMPTS, FIRST_PAUSE
        while True:
            try:
                return await self._transferred(url, most, part)
            except TimeoutError:
                left -= 2
                reason = f"fewer than {self._fewest:,} bytes came in {self._timeout:g} s; see --timeout"
            except (aiohttp.ClientError, OSError) as error:
                left -= 1
                reason = first_line(error)
            if left <= 0:
                raise UnavailableError(f"{url} did not answer ({reason}); {START_AGAIN}")
            await asyncio.sleep(pause)
            pause *= 2

    @property
    def _fewest(self) -> int:
        """The number of bytes that a server must send within the time-out."""
        return max(1, round(SLOWEST * self._timeout))

    async def _transferred(self, url: URL, most: int, part: ByteRequest | None) -> bytes | None:
        """One attempt.

        Raises:
            TimeoutError: the server sends nothing, or more slowly than `SLOWEST`.
            aiohttp.ClientError, OSError: the connection drops, or the server is busy.
            UnavailableError: the server refuses, or sends more than `most` bytes.
            UnreadableError: the server sends another part than the requested one.
        """
        content, counted = bytearray(), 0
        async with (
            asyncio.timeout(self._timeout) as deadline,
            self._opened().get(url, headers=_range_header(part)) as answer,
        ):
            if answer.status in _ABSENT:
                return None
            if answer.status in _BUSY:
                answer.raise_for_status()
            if answer.status != 200 and (answer.status, part is None) != (206, False):
                raise UnavailableError(
                    f"{url} is refused by its server: {answer.status} {answer.reason or ''}".rstrip()
                )
            promised = answer.content_length or 0
            while len(content) <= most and promised <= most and (chunk := await answer.content.readany()):
                content += chunk
                if len(content) - counted >= self._fewest:
                    counted = len(content)
                    deadline.reschedule(asyncio.get_running_loop().time() + self._timeout)
            if max(len(content), promised) > most:
                raise UnavailableError(
                    f"{url} sends more than {most:,} bytes, which none of its kind can have; {START_AGAIN}"
                )
            return _cut(bytes(content), part, answer)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._loop = asyncio.get_running_loop()
            headers = {"Accept-Encoding": "identity"}
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), headers=headers)
        return self._session


def _range_header(part: ByteRequest | None) -> dict[str, str]:
    if isinstance(part, RangeByteRequest):
        return {"Range": f"bytes={part.start}-{part.end - 1}"}
    if isinstance(part, OffsetByteRequest):
        return {"Range": f"bytes={part.offset}-"}
    return {} if part is None else {"Range": f"bytes=-{part.suffix}"}


def _cut(content: bytes, part: ByteRequest | None, answer: aiohttp.ClientResponse) -> bytes:
    """The requested part; a server may send the whole object instead."""
    if part is None or isinstance(part, OffsetByteRequest):
        return content if part is None or answer.status == 206 else content[part.offset :]
    start, end = (part.start, part.end) if isinstance(part, RangeByteRequest) else (-part.suffix, None)
    wanted = part.end - part.start if isinstance(part, RangeByteRequest) else part.suffix
    payload = content if answer.status == 206 else content[start:end]
    content_range = answer.headers.get("Content-Range", "")
    if len(payload) != wanted or (
        answer.status == 206 and start >= 0 and not content_range.startswith(f"bytes {start}-")
    ):
        raise UnreadableError(f"{answer.url} sends another part than bytes {start} to {end or 'the end'}")
    return payload


def _require_present(
    key: str, layout: ArrayLayout, is_coordinate: bool, content: bytes | None, part: ByteRequest | None
) -> None:
    """Refuses an absent chunk of a field, or of a coordinate along a dimension of its own.

    Raises:
        DataError: the chunk would read as numbers.
    """
    if layout.absent_is_missing or (len(layout.shape) < 2 and not is_coordinate):
        return
    if content is None and is_coordinate and may_be_zero(layout, *_place(key, layout)):
        return
    count = 0 if content is None else _absent_inside(key, layout, content, part)
    if content is None or count:
        absent = "is absent (404)" if content is None else f"lacks {count} of its inner chunks"
        raise DataError(
            f"{key} of the store {absent}, and would read as numbers; tell its owner, or choose other times or fields"
        )


def _place(key: str, layout: ArrayLayout) -> list[int]:
    """The indices of a chunk, which follow the name of its array as `c/0/1/2`, `0.1.2` or `0/1/2`."""
    return [int(number) for number in re.findall(r"\d+", key.removeprefix(layout.name))]


def _absent_inside(key: str, layout: ArrayLayout, content: bytes, part: ByteRequest | None) -> int:
    """The number of inner chunks that a shard lacks; `content` is the whole shard or its index."""
    index = layout.index
    if index is None:
        return 0
    is_index = part == (RangeByteRequest(0, index.size) if index.at_start else SuffixByteRequest(index.size))
    if part is not None and not is_index:
        return 0
    there = index.present(index.of_shard(content), len(content) if part is None else None)
    inside = (
        slice(0, whole - at * each)
        for at, each, whole in zip(_place(key, layout), index.grid, layout.chunks, strict=True)
    )  # a shard may reach beyond the array
    there = there[tuple(inside)]
    return int(there.size - there.sum())
