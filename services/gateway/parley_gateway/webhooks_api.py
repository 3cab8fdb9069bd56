"""Webhooks: where a server of yours is told of your notices."""

from fastapi import APIRouter
from parley_contracts import subjects
from parley_contracts.notices import NoticeKind
from parley_contracts.replies import Done
from parley_contracts.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    ListWebhooks,
    ReadWebhook,
    RotateWebhookSecret,
    TryWebhook,
    Webhook,
    WebhookCreated,
    WebhookList,
    WebhookTried,
    WebhookUrl,
)
from pydantic import BaseModel, ConfigDict, Field

from parley_gateway.edge import CurrentEdge, CurrentPrincipal

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])

ASK_S = 5.0
TRY_S = 75.0
"""Somebody's server may take its time."""


class NewWebhook(BaseModel):
    """A webhook to be: without kinds it is told of everything."""

    model_config = ConfigDict(extra="forbid")

    url: WebhookUrl
    kinds: tuple[NoticeKind, ...] | None = Field(default=None, min_length=1, max_length=len(NoticeKind))


class WebhookChange(BaseModel):
    """What is to change; what is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: WebhookUrl | None = None
    kinds: tuple[NoticeKind, ...] | None = Field(default=None, min_length=1, max_length=len(NoticeKind))
    is_enabled: bool | None = None


@router.get("")
async def list_webhooks(edge: CurrentEdge, principal: CurrentPrincipal) -> WebhookList:
    """List your webhooks."""
    asked = ListWebhooks(**principal.asking)
    return await edge.bus.request(subjects.ACCOUNTS_LIST_WEBHOOKS, asked, WebhookList, timeout_s=ASK_S)


@router.post("", status_code=201)
async def create_webhook(body: NewWebhook, edge: CurrentEdge, principal: CurrentPrincipal) -> WebhookCreated:
    """Have notices sent to a public URL; the secret that signs them is told once."""
    asked = CreateWebhook(**principal.asking, url=body.url, kinds=body.kinds)
    return await edge.bus.request(subjects.ACCOUNTS_CREATE_WEBHOOK, asked, WebhookCreated, timeout_s=ASK_S)


@router.get("/{webhook_id}")
async def read_webhook(webhook_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Webhook:
    """Return one of your webhooks."""
    asked = ReadWebhook(**principal.asking, webhook_id=webhook_id)
    return await edge.bus.request(subjects.ACCOUNTS_READ_WEBHOOK, asked, Webhook, timeout_s=ASK_S)


@router.patch("/{webhook_id}")
async def change_webhook(
    webhook_id: str, body: WebhookChange, edge: CurrentEdge, principal: CurrentPrincipal
) -> Webhook:
    """Change a webhook, or switch it on or off."""
    asked = ChangeWebhook(**principal.asking, webhook_id=webhook_id, **body.model_dump())
    return await edge.bus.request(subjects.ACCOUNTS_CHANGE_WEBHOOK, asked, Webhook, timeout_s=ASK_S)


@router.delete("/{webhook_id}")
async def delete_webhook(webhook_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> Done:
    """Remove a webhook, with what is still to be delivered to it."""
    asked = DeleteWebhook(**principal.asking, webhook_id=webhook_id)
    return await edge.bus.request(subjects.ACCOUNTS_DELETE_WEBHOOK, asked, Done, timeout_s=ASK_S)


@router.post("/{webhook_id}/secret")
async def rotate_secret(webhook_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> WebhookCreated:
    """Have another secret; for a day the old one signs as well."""
    asked = RotateWebhookSecret(**principal.asking, webhook_id=webhook_id)
    return await edge.bus.request(
        subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET, asked, WebhookCreated, timeout_s=ASK_S
    )


@router.post("/{webhook_id}/test")
async def try_webhook(webhook_id: str, edge: CurrentEdge, principal: CurrentPrincipal) -> WebhookTried:
    """Send a webhook an event of the type `webhook.test` now, and tell what became of it."""
    asked = TryWebhook(**principal.asking, webhook_id=webhook_id)
    return await edge.bus.request(subjects.ACCOUNTS_TRY_WEBHOOK, asked, WebhookTried, timeout_s=TRY_S)
