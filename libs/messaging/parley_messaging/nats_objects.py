"""Objects in a JetStream object store bucket."""

# nats-py leaves some keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore as Bucket
from parley_contracts.errors import ErrorCode, ParleyError

BUCKET = "ORIGINALS"


class NatsObjects:
    """The bucket of uploaded originals, opened on first use."""

    def __init__(self, js: JetStreamContext, replicas: int) -> None:
        self._js = js
        self._replicas = replicas
        self._bucket: Bucket | None = None

    async def _open(self) -> Bucket:
        if self._bucket is None:
            try:
                self._bucket = await self._js.object_store(BUCKET)
            except NotFoundError:
                self._bucket = await self._js.create_object_store(BUCKET, replicas=self._replicas)
        return self._bucket

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`."""
        await (await self._open()).put(key, data)

    async def get(self, key: str) -> bytes:
        """Return what is kept under `key`."""
        try:
            found = await (await self._open()).get(key)
        except (ObjectNotFoundError, NotFoundError):
            raise ParleyError(ErrorCode.NOT_FOUND, "There is no such object.") from None
        return found.data or b""

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        try:
            await (await self._open()).delete(key)
        except (ObjectNotFoundError, NotFoundError):
            return
