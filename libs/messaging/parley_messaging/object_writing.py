"""Writes an object for somebody who may not read any: nats-py looks for an older one first.

Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference and NATS ADR-20.
"""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import asyncio
import base64
import hashlib
import io
import json
from datetime import UTC, datetime
from typing import BinaryIO
from uuid import uuid4

from nats.js import JetStreamContext

CHUNK_BYTES = 128 * 1024


async def write_object(js: JetStreamContext, bucket: str, key: str, data: bytes | BinaryIO) -> None:
    """Store `data` under `key` in chunks, and then what tells where they are."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    nuid, digest, chunks, size_bytes = uuid4().hex, hashlib.sha256(), 0, 0
    while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
        digest.update(chunk)
        await js.publish(f"$O.{bucket}.C.{nuid}", chunk)
        chunks, size_bytes = chunks + 1, size_bytes + len(chunk)
    meta = {
        "name": key,
        "bucket": bucket,
        "nuid": nuid,
        "size": size_bytes,
        "chunks": chunks,
        "mtime": datetime.now(UTC).isoformat(),
        "digest": f"SHA-256={base64.urlsafe_b64encode(digest.digest()).decode()}",
        "options": {"max_chunk_size": CHUNK_BYTES},
    }
    subject = f"$O.{bucket}.M.{base64.urlsafe_b64encode(key.encode()).decode()}"
    await js.publish(subject, json.dumps(meta).encode(), headers={"Nats-Rollup": "sub"})
