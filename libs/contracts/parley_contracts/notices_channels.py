"""The channels of notices and webhooks, a part of the catalogue."""

from functools import partial

from parley_contracts import accounts, notices, subjects, webhooks
from parley_contracts.channel import Channel, ChannelKind, request_channel
from parley_contracts.replies import Done

_request = partial(request_channel, "accounts")

NOTICES_CHANNELS: tuple[Channel, ...] = (
    _request(subjects.ACCOUNTS_LIST_NOTICES, notices.ListNotices, notices.NoticeList, "One's notices."),
    _request(
        subjects.ACCOUNTS_MARK_NOTICES_READ,
        notices.MarkNoticesRead,
        notices.NoticesRead,
        "Mark notices as read.",
    ),
    _request(
        subjects.ACCOUNTS_READ_NOTICE_SETTINGS,
        notices.ReadNoticeSettings,
        notices.NoticeSettings,
        "In which ways one is told.",
    ),
    _request(
        subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS,
        notices.ChangeNoticeSettings,
        notices.NoticeSettings,
        "Be told in other ways.",
    ),
    _request(
        subjects.ACCOUNTS_CREATE_WEBHOOK,
        webhooks.CreateWebhook,
        webhooks.WebhookCreated,
        "Have notices sent to a server.",
    ),
    _request(subjects.ACCOUNTS_READ_WEBHOOK, webhooks.ReadWebhook, webhooks.Webhook, "One webhook."),
    _request(subjects.ACCOUNTS_LIST_WEBHOOKS, webhooks.ListWebhooks, webhooks.WebhookList, "One's webhooks."),
    _request(subjects.ACCOUNTS_CHANGE_WEBHOOK, webhooks.ChangeWebhook, webhooks.Webhook, "Change a webhook."),
    _request(subjects.ACCOUNTS_DELETE_WEBHOOK, webhooks.DeleteWebhook, Done, "Remove a webhook."),
    _request(
        subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET,
        webhooks.RotateWebhookSecret,
        webhooks.WebhookCreated,
        "Another secret for a webhook.",
    ),
    _request(
        subjects.ACCOUNTS_TRY_WEBHOOK, webhooks.TryWebhook, webhooks.WebhookTried, "Send a webhook a test."
    ),
    _request(
        subjects.ACCOUNTS_FORGOT_PASSWORD,
        accounts.ForgotPassword,
        Done,
        "Have a link mailed that sets a password; the answer is the same whoever asks.",
    ),
    Channel(
        subjects.ALL_NOTICE_EVENTS,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (notices.NoticeChanged,),
        "accounts",
        "gateways that show the user's notices",
        "A user's notices are others now; published at least once.",
        parameters=("user_id",),
    ),
    Channel(
        subjects.DOCUMENT_FAILED,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (notices.DocumentFailed,),
        "rag",
        "accounts",
        "A document failed, and its owner is to be told.",
    ),
)
