"""What completions of tests say."""

from parley_contracts.accounts import LOCAL_OWNER
from parley_gateway.completion_messages import Said
from parley_gateway.completion_request import CompletionRequest
from parley_gateway.inline_files import InlineFiles


def said_in(request: CompletionRequest, *, owner_id: str = LOCAL_OWNER, max_bytes: int = 1000) -> Said:
    """Return what a completion of an owner's says."""
    return request.said(InlineFiles(owner_id, max_bytes=max_bytes))
