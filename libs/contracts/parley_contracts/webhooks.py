"""Webhooks: where somebody else's server is told of notices, signed as Standard Webhooks 1.0.0 says.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parley_contracts.accounts import PrincipalRequest
from parley_contracts.model import WireModel
from parley_contracts.notices import NoticeKind

WebhookId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
WebhookUrl = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
TEST_EVENT = "webhook.test"
"""The type of the event that is sent when a webhook is tried."""


class WebhookState(StrEnum):
    """Whether a webhook is delivered to.

    failing: what was due was given up after a day; later notices are tried all the same. disabled: nothing is
    sent, by its owner's wish or because its server answered 410 (gone).
    """

    ACTIVE = "active"
    FAILING = "failing"
    DISABLED = "disabled"


class Webhook(WireModel):
    """A webhook as its owner sees it; the secret is told when it is made, and never again."""

    type: Literal["webhook"] = "webhook"
    id: str
    url: str
    kinds: tuple[NoticeKind, ...] | None = Field(description="What it is told of; None is everything.")
    state: WebhookState
    created_at_ms: int
    last_status: int | None = Field(default=None, description="What its server answered last.")
    last_attempt_at_ms: int | None = None
    waiting: int = Field(default=0, description="Notices that are still to be delivered.")


class CreateWebhook(PrincipalRequest):
    """Request: have notices sent to an http or https URL; `refused_address` when it is not public."""

    type: Literal["create_webhook"] = "create_webhook"
    url: WebhookUrl
    kinds: tuple[NoticeKind, ...] | None = Field(default=None, min_length=1, max_length=len(NoticeKind))


class WebhookCreated(WireModel):
    """A webhook, and the secret that signs what it is sent: told once."""

    type: Literal["webhook_created"] = "webhook_created"
    webhook: Webhook
    secret: str = Field(repr=False, description="`whsec_` and 32 bytes in base64.")


class ReadWebhook(PrincipalRequest):
    """Request: one of one's own webhooks."""

    type: Literal["read_webhook"] = "read_webhook"
    webhook_id: WebhookId


class ListWebhooks(PrincipalRequest):
    """Request: one's own webhooks."""

    type: Literal["list_webhooks"] = "list_webhooks"


class WebhookList(WireModel):
    """One's webhooks, the oldest first."""

    type: Literal["webhook_list"] = "webhook_list"
    webhooks: tuple[Webhook, ...]


class ChangeWebhook(PrincipalRequest):
    """Request: change what is given. `is_enabled` true also takes back that it is failing or disabled."""

    type: Literal["change_webhook"] = "change_webhook"
    webhook_id: WebhookId
    url: WebhookUrl | None = None
    kinds: tuple[NoticeKind, ...] | None = Field(default=None, min_length=1, max_length=len(NoticeKind))
    is_enabled: bool | None = None


class DeleteWebhook(PrincipalRequest):
    """Request: remove a webhook with what is still to be delivered."""

    type: Literal["delete_webhook"] = "delete_webhook"
    webhook_id: WebhookId


class RotateWebhookSecret(PrincipalRequest):
    """Request: another secret; for a day what is sent is signed by the old one as well."""

    type: Literal["rotate_webhook_secret"] = "rotate_webhook_secret"
    webhook_id: WebhookId


class TryWebhook(PrincipalRequest):
    """Request: send an event of the type `webhook.test` now, once."""

    type: Literal["try_webhook"] = "try_webhook"
    webhook_id: WebhookId


class WebhookTried(WireModel):
    """What became of it."""

    type: Literal["webhook_tried"] = "webhook_tried"
    is_delivered: bool
    status: int | None = Field(default=None, description="What its server answered.")
    problem: str | None = Field(default=None, description="Why there is no answer, in words.")
