"""What is known of each kind of notice: how it is told unless its user chose, and whether it gathers."""

from dataclasses import dataclass

from parley_contracts.notices import NoticeKind as K

GATHERING_MS = 600_000
"""For how long others of a kind that gathers are counted in one notice."""
DELIVERED_AFTER_MS = 30_000
"""How long the delivery of such a notice waits, so that what comes at once is told as a number."""


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind of notice is told.

    Attributes:
        title: What has happened, for people; of several too.
        mail: Whether it is mailed unless its user says otherwise.
        is_always_mailed: Whatever he says: who takes an account over must not be able to keep it quiet.
        gathers: Whether many in a short time are one notice with a count.
        in_webhooks: Whether webhooks are told; what is about webhooks is not told to them.
        mails_a_day: How many mails of it a user gets; None is no bound. Each kind has its own, so that what
            strangers cause by the number keeps nothing back that he has to know.
    """

    title: str
    mail: bool = True
    is_always_mailed: bool = False
    gathers: bool = False
    in_webhooks: bool = True
    mails_a_day: int | None = 10


RULES: dict[K, KindRule] = {
    K.LOGIN_NEW_PLACE: KindRule("Somebody logged in to your account from a new place", mails_a_day=50),
    K.LOGIN_REFUSED: KindRule("Logins to your account were refused", gathers=True),
    K.KEY_CREATED: KindRule("An API key of your account was made", gathers=True),
    K.KEY_REVOKED: KindRule("An API key of your account was revoked", mail=False, gathers=True),
    K.KEY_EXPIRING: KindRule("An API key of your account is about to expire", gathers=True),
    K.PASSWORD_CHANGED: KindRule(
        "The password of your account was changed", is_always_mailed=True, mails_a_day=None
    ),
    K.ROLE_CHANGED: KindRule("The role of your account was changed", mails_a_day=None),
    K.DOCUMENT_FAILED: KindRule("A document could not be read", mail=False, gathers=True),
    K.QUOTA_NEAR: KindRule("Most of a quota is used", mail=False),
    K.QUOTA_REACHED: KindRule("A quota is used up"),
    K.EXPORT_READY: KindRule("The export of your data is ready"),
    K.WEBHOOK_FAILING: KindRule("A webhook of your account does not answer", gathers=True, in_webhooks=False),
    K.WEBHOOK_DISABLED: KindRule("A webhook of your account was switched off", in_webhooks=False),
}
