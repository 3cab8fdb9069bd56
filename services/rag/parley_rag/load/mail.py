"""E-mail: who wrote what to whom and the words; attachments are documents of their own."""

from collections.abc import Iterator
from dataclasses import replace
from email.errors import MessageError
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import default
from typing import cast

from parley_rag.load.extraction import BlockKind, Extraction, Metadata, TextBuilder, UnreadableDocument
from parley_rag.load.html import load_html
from parley_rag.load.plain import load_plain

_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_MAX_HEADER_CHARS = 10_000  # the parser of headers is slow on long ones
_MAX_PARTS = 1_000
_TOO_NESTED = "The e-mail is nested too deeply."
_AS_SENT = default.clone(refold_source="none")
# What the parser of headers and contents raises on what is no mail.
_BROKEN = (MessageError, LookupError, ValueError, TypeError, AttributeError, AssertionError, OverflowError)


def load_mail(data: bytes) -> Extraction:
    """Read an e-mail (RFC 5322): its headers, then its text, else its HTML."""
    message = _parsed(data)
    said = {name: value for name in _SHOWN if (value := _header(message, name))}
    builder = TextBuilder()
    builder.add(BlockKind.LINES, "\n".join(f"{name}: {value}" for name, value in said.items()))
    attached = False
    bodies: dict[str, list[bytes]] = {"text/plain": [], "text/html": []}
    for part in _parts(message):
        if _is_body(part):
            bodies[part.get_content_type()].append(_text(part))
        else:
            attached = True
    for body in bodies["text/plain"] or bodies["text/html"]:
        _write_body(builder, body, is_html=not bodies["text/plain"])
    metadata = Metadata.of(
        author=said.get("From"), language=_header(message, "Content-Language"), written=said.get("Date")
    )
    built = builder.build(said.get("Subject"), metadata)
    return replace(built, has_members=attached)


def attachments(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of what is attached to an e-mail."""
    for number, part in enumerate(part for part in _parts(_parsed(data)) if not _is_body(part)):
        try:
            name = part.get_filename() or ""
        except _BROKEN:
            name = ""
        if part.get_content_type() == "message/rfc822":
            yield name or f"message-{number + 1}.eml", _forwarded(part)
        else:
            yield name or f"attachment-{number + 1}", _content(part)


def _parsed(data: bytes) -> Message:
    try:
        message = BytesParser(_class=EmailMessage, policy=default).parsebytes(data)
    except RecursionError as error:
        raise UnreadableDocument(_TOO_NESTED) from error
    except _BROKEN as error:
        raise UnreadableDocument("The e-mail is damaged and cannot be read.") from error
    return message


def _parts(message: Message) -> Iterator[Message]:
    """Yield the parts that hold no others, in order; a forwarded message is one part."""
    stack, count = [message], 0
    while stack:
        part = stack.pop()
        count += 1
        if count > _MAX_PARTS:
            raise UnreadableDocument(f"The e-mail has more than {_MAX_PARTS:,} parts.")
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            stack += reversed(_inner(part))
        else:
            yield part


def _inner(part: Message) -> list[Message]:
    """Return the parts that a part is made of."""
    held = part.get_payload()
    return (
        [item for item in cast(list[object], held) if isinstance(item, Message)]
        if isinstance(held, list)
        else []
    )


def _is_body(part: Message) -> bool:
    try:
        named = part.get_filename() is not None or part.get_content_disposition() == "attachment"
    except _BROKEN:
        named = True
    return not named and part.get_content_type() in {"text/plain", "text/html"}


def _header(message: Message, name: str) -> str:
    """Return a header as text; one that cannot be read is left out."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    if not raw or len(raw) > _MAX_HEADER_CHARS:
        return ""
    try:
        return " ".join(str(message[name]).split())
    except (*_BROKEN, RecursionError):
        return " ".join(raw.split())


def _content(part: Message) -> bytes:
    try:
        content = part.get_payload(decode=True)
    except _BROKEN:
        return b""
    return content if isinstance(content, bytes) else b""


def _forwarded(part: Message) -> bytes:
    """Return a forwarded message as it was sent."""
    try:
        return b"".join(item.as_bytes(policy=_AS_SENT) for item in _inner(part))
    except (*_BROKEN, RecursionError):
        return b""


def _text(part: Message) -> bytes:
    """Return a body in UTF-8."""
    charset = part.get_content_charset() or "utf-8"
    try:
        return _content(part).decode(charset, errors="replace").encode(errors="replace")
    except (LookupError, ValueError):
        return _content(part).decode("utf-8", errors="replace").encode(errors="replace")


def _write_body(builder: TextBuilder, body: bytes, *, is_html: bool) -> None:
    try:
        builder.add_all(load_html(body) if is_html else load_plain(body))
    except UnreadableDocument:  # an empty body
        return
