"""Requests about notices and webhooks: subject -> function. What changes something wakes the outbox."""

from parley_contracts import accounts, notices, subjects, webhooks
from parley_messaging import Service

from parley_accounts.answering import done, telling
from parley_accounts.notices.composition import NoticeParts
from parley_accounts.outbox import Outbox

TRIES_AT_ONCE = 4
"""Each holds its slot for as long as somebody's server takes to answer."""


def bind_notices(service: Service, parts: NoticeParts, outbox: Outbox) -> None:
    """Answer the subjects about notices and webhooks."""
    board, hooks = parts.board, parts.webhooks
    service.answer(subjects.ACCOUNTS_LIST_NOTICES, notices.ListNotices, board.list)
    service.answer(
        subjects.ACCOUNTS_MARK_NOTICES_READ, notices.MarkNoticesRead, telling(outbox, board.mark_read)
    )
    service.answer(subjects.ACCOUNTS_READ_NOTICE_SETTINGS, notices.ReadNoticeSettings, board.read_settings)
    service.answer(
        subjects.ACCOUNTS_CHANGE_NOTICE_SETTINGS, notices.ChangeNoticeSettings, board.change_settings
    )
    service.answer(subjects.ACCOUNTS_CREATE_WEBHOOK, webhooks.CreateWebhook, hooks.create)
    service.answer(subjects.ACCOUNTS_READ_WEBHOOK, webhooks.ReadWebhook, hooks.read)
    service.answer(subjects.ACCOUNTS_LIST_WEBHOOKS, webhooks.ListWebhooks, hooks.list)
    service.answer(subjects.ACCOUNTS_CHANGE_WEBHOOK, webhooks.ChangeWebhook, hooks.change)
    service.answer(subjects.ACCOUNTS_DELETE_WEBHOOK, webhooks.DeleteWebhook, done(hooks.delete))
    service.answer(subjects.ACCOUNTS_ROTATE_WEBHOOK_SECRET, webhooks.RotateWebhookSecret, hooks.rotate_secret)
    service.answer(
        subjects.ACCOUNTS_TRY_WEBHOOK,
        webhooks.TryWebhook,
        hooks.try_out,
        concurrency=TRIES_AT_ONCE,
        waiting=TRIES_AT_ONCE,
    )
    service.answer(subjects.ACCOUNTS_FORGOT_PASSWORD, accounts.ForgotPassword, done(parts.forgotten.ask))
