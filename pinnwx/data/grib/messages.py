"""Finds the messages of a GRIB file by their lengths, without decoding and without reading data sections.

Padding, line ends and bulletin headers between messages are skipped, as in ecCodes. A truncated message is refused. A
message of edition 2 may contain several fields; each is returned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pinnwx.errors import UnreadableError

_MAGIC, _END = b"GRIB", b"7777"
_CHUNK = 1 << 16
_WINDOW = 1 << 13  # contains all sections before the data for nearly every message
_LARGEST_SECTION = 1 << 20  # before the data; grid definitions with 100,000 rows are smaller
_LONG = 1 << 23  # edition 1: if this bit is set, the length is in units of 120 bytes
_EDITION_1_PARTS = ("the product definition", "the grid definition", "the bitmap", "the data")


@dataclass(frozen=True)
class Span:
    """A range of bytes of a file."""

    start: int
    length: int


@dataclass(frozen=True)
class RawField:
    """One field before decoding.

    `number` counts the messages of the file from 1, and `place` describes where the message starts. `head` maps section
    numbers to their bytes; sections after the data representation are truncated to their first bytes. `spans` are the
    ranges of the whole sections, `message` the range of the message. `alone` is true if the message has no other field.
    """

    number: int
    edition: int
    message: Span
    alone: bool
    head: Mapping[int, bytes]
    spans: Mapping[int, Span]

    @property
    def place(self) -> str:
        return f"message {self.number} at byte {self.message.start}"


class Source:
    """Random access to an open file through a small window."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.size = descriptor, os.fstat(descriptor).st_size
        self._start, self._bytes = 0, b""

    def read(self, start: int, length: int) -> bytes:
        """Reads `length` bytes from `start`, or fewer at the end of the file."""
        end = self._start + len(self._bytes)
        if not (self._start <= start and start + length <= end):
            self._start, self._bytes = start, self.fresh(start, max(length, _WINDOW))
        offset = start - self._start
        return self._bytes[offset : offset + length]

    def fresh(self, start: int, length: int) -> bytes:
        """Like `read`, but bypasses the window, for bytes that are read once."""
        parts = []
        while length > 0 and (part := os.pread(self.descriptor, length, start)):
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return b"".join(parts)


def walk(source: Source) -> Iterator[RawField]:
    """Yields every field of every message, in the order of the file.

    Raises:
        UnreadableError: a message is truncated or damaged; the error names its place.
    """
    number, position = 0, 0
    while (start := _next_message(source, position)) is not None:
        number += 1
        place = f"message {number} at byte {start}"
        edition, length = _indicator(source, start, place)
        if start + length > source.size:
            present = source.size - start
            raise UnreadableError(
                f"{place} is truncated: the file has {present} of its {length} bytes; fetch the file again"
            )
        if not _ends(source, start + length):
            raise UnreadableError(
                f'{place} does not end with "7777"; it is damaged or incomplete, fetch the file again'
            )
        message = Span(start, length)
        yield from (_fields_of_edition_2 if edition == 2 else _field_of_edition_1)(source, message, number)
        position = start + length


def _next_message(source: Source, position: int) -> int | None:
    """The start of the next message, or None.

    Raises:
        UnreadableError: the file ends within the first four letters of a message.
    """
    if source.read(position, 4) == _MAGIC:
        return position
    tail = b""
    while chunk := source.fresh(position, _CHUNK):
        text = tail + chunk
        begin, offset = position - len(tail), text.find(_MAGIC)
        while offset >= 0:
            if not _is_foreign(source, begin + offset):
                return begin + offset
            offset = text.find(_MAGIC, offset + 4)
        tail, position = text[-3:], position + len(chunk)
    if tail == _MAGIC[:1] or tail.endswith((_MAGIC[:2], _MAGIC[:3])):
        raise UnreadableError(f"the last message is truncated at byte {position}; fetch the file again")
    return None


def _is_foreign(source: Source, start: int) -> bool:
    """Whether the letters "GRIB" at `start` belong to a text between messages, and do not begin a message."""
    head = source.read(start, 16)
    if len(head) < 8 or head[7] in (1, 2):
        return False
    return not any(_ends(source, start + length) for length in (_integer(head[4:7]), _integer(head[8:16])))


def _ends(source: Source, end: int) -> bool:
    return end <= source.size and source.fresh(end - 4, 4) == _END


def _indicator(source: Source, start: int, place: str) -> tuple[int, int]:
    """(edition, length) of the message."""
    head = source.read(start, 16)
    if len(head) < 16:
        raise UnreadableError(f"{place} is truncated after {len(head)} bytes; fetch the file again")
    edition = head[7]
    if edition not in (1, 2):
        raise UnreadableError(f"{place} has edition {edition}, not 1 or 2; the file is damaged, fetch it again")
    length = _integer(head[8:16]) if edition == 2 else _length_of_edition_1(source, start, place)
    if length < 20:
        raise UnreadableError(f"{place} declares {length} bytes; it is damaged, fetch the file again")
    return edition, length


def _length_of_edition_1(source: Source, start: int, place: str) -> int:
    """The length of the message; above 8 MiB it is in units of 120 bytes, by the convention of ECMWF.

    The length of the data section then holds the difference between these units and the length of the message.
    """
    length = _integer(source.read(start + 4, 3))
    if not length & _LONG:
        return length
    *_, data = _sections_of_edition_1(source, start, place)
    return (length - _LONG) * 120 - data.length + 4 if data.length < 120 else length


def _sections_of_edition_1(
    source: Source, start: int, place: str
) -> tuple[Span | None, Span | None, Span | None, Span]:
    """The sections product definition, grid definition, bitmap and data, with their declared lengths."""
    flags = source.read(start + 15, 1)[:1] or b"\0"
    present = (True, bool(flags[0] & 128), bool(flags[0] & 64), True)
    spans: list[Span | None] = []
    position = start + 8
    for part, is_present in zip(_EDITION_1_PARTS, present, strict=True):
        if not is_present:
            spans.append(None)
            continue
        length = _integer(source.read(position, 3))
        if position + 3 > source.size:
            raise UnreadableError(f"{place} is truncated within {part}; fetch the file again")
        spans.append(Span(position, length))
        position += length
    return tuple(spans)  # type: ignore[return-value]


def _field_of_edition_1(source: Source, message: Span, number: int) -> Iterator[RawField]:
    """Yields the only field of the message; its sections are 1 (product), 2 (grid), 3 (bitmap) and 4 (data)."""
    place = f"message {number} at byte {message.start}"
    product, grid, bitmap, data = _sections_of_edition_1(source, message.start, place)
    rest = message.start + message.length - 4 - data.start
    if data.length < 120 and rest > 120:  # in long messages, the data section is the rest
        data = Span(data.start, rest)
    spans = {index: span for index, span in enumerate((product, grid, bitmap, data), 1) if span is not None}
    smallest = {1: 28, 2: 6, 3: 6, 4: 11}
    if any(span.length < smallest[index] for index, span in spans.items()) or data.length > rest:
        raise UnreadableError(f"{place} has sections that do not fit into it; it is damaged, fetch the file again")
    head = {index: _section(source, span, None if index < 3 else 16, place) for index, span in spans.items()}
    yield RawField(number, 1, message, True, head, spans)


def _fields_of_edition_2(source: Source, message: Span, number: int) -> Iterator[RawField]:
    """Yields a field for each data section, with the most recent of the other sections."""
    place = f"message {number} at byte {message.start}"
    damaged = UnreadableError(f"{place} has sections that do not fit into it; it is damaged, fetch the file again")
    position, end = message.start + 16, message.start + message.length - 4
    spans: dict[int, Span] = {}
    bitmap: Span | None = None
    fields: list[dict[int, Span]] = []
    while position < end:
        prefix = source.read(position, 6)
        length, section = _integer(prefix[:4]), prefix[4]
        if not 5 <= length <= end - position or not 1 <= section <= 7:
            raise damaged
        spans = {index: span for index, span in spans.items() if index < section}
        if section == 6 and prefix[5] == 254 and bitmap is not None:  # the bitmap of the previous field
            spans[6] = bitmap
        else:
            spans[section] = Span(position, length)
        if section == 6 and prefix[5] == 0:
            bitmap = spans[6]
        if section == 7:
            if not {1, 3, 4, 5, 6} <= spans.keys():
                raise damaged
            fields.append(dict(spans))
        position += length
    if not fields or position != end or 7 not in spans:
        raise damaged
    for own in fields:
        head = {index: _section(source, span, None if index < 6 else 16, place) for index, span in own.items()}
        head[0] = source.read(message.start, 16)
        yield RawField(number, 2, message, len(fields) == 1, head, own)


def _section(source: Source, span: Span, length: int | None, place: str) -> bytes:
    if length is None and span.length > _LARGEST_SECTION:
        raise UnreadableError(f"{place} has a section of {span.length} bytes before its data; it is damaged")
    return source.read(span.start, min(span.length, length or span.length))


def _integer(octets: bytes) -> int:
    return int.from_bytes(octets, "big")
