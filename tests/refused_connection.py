"""What nats-py leaves open of a connection that nats-server refuses."""

from traceback import walk_tb

from nats.aio.client import Client


def close_refused(error: BaseException) -> None:
    """Close its socket, which is otherwise the garbage collector's, in the middle of some other test."""
    refused = error.__cause__ or error
    for frame, _ in walk_tb(refused.__traceback__):
        client = frame.f_locals.get("self")
        if isinstance(client, Client) and (transport := client._transport):  # pyright: ignore - there is no public way to it
            transport.close()
