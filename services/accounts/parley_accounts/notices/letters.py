"""The mails: plain text and the same as plain HTML, with nothing in them that is fetched or traced."""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from html import escape

from parley_contracts.notices import Notice, NoticeKind

from parley_accounts.links import LinkKind
from parley_accounts.notices.kinds import RULES
from parley_accounts.notices.link_mails import LinkToMail

_FACTS = {
    "network": "Network",
    "key_id": "API key",
    "session_id": "Session",
    "document_id": "Document",
    "webhook_id": "Webhook",
    "export_id": "Export",
    "role": "New role",
    "quota": "Quota",
    "percent": "Used, in percent",
    "status": "Answer",
}
_SAFETY = frozenset(
    {
        NoticeKind.LOGIN_NEW_PLACE,
        NoticeKind.LOGIN_REFUSED,
        NoticeKind.KEY_CREATED,
        NoticeKind.PASSWORD_CHANGED,
        NoticeKind.ROLE_CHANGED,
    }
)
_IF_NOT_YOU = "If this was not you, set a new password and end your other sessions."
_SUBJECTS = {
    LinkKind.INVITATION: "You are invited to Parley",
    LinkKind.PASSWORD_RESET: "Set a new password for Parley",
}
_LEADS = {
    LinkKind.INVITATION: "You are invited to an installation of Parley. This link makes your account, once:",
    LinkKind.PASSWORD_RESET: "Somebody, probably you, asked for a new password. This link sets it, once:",
}
_BREAK = "<br>\n"
_IF_NOT_ASKED = "If you did not ask for this, leave it: without the link nothing happens."


class Letters:
    """Writes mails from one address, with links to one place.

    A mail is known by its delivery: one that is sent again is the same one to servers that have it already.
    """

    def __init__(self, sender: str, public_url: str) -> None:
        self._sender = address_of(sender)
        self._public_url = public_url.rstrip("/")

    def of_notice(self, notice: Notice, address: str, delivery_id: str) -> EmailMessage:
        """Return the mail that tells a notice; ValueError for an address that is none."""
        rule = RULES[notice.kind]
        lines = [f"{rule.title}.", ""]
        lines.append(f"When: {_at(notice.at_ms)}")
        if notice.count > 1:
            lines.append(f"How often: {notice.count} times")
        facts = notice.facts.model_dump(mode="json", exclude_none=True)
        lines += [f"{title}: {facts[name]}" for name, title in _FACTS.items() if name in facts]
        if notice.facts.expires_at_ms is not None:
            lines.append(f"Expires: {_at(notice.facts.expires_at_ms)}")
        lines += ["", _IF_NOT_YOU] if notice.kind in _SAFETY else []
        return self._letter(address, delivery_id, rule.title, lines, f"{self._public_url}/")

    def of_link(self, link: LinkToMail, address: str, delivery_id: str) -> EmailMessage:
        """Return the mail that brings a link; ValueError for an address that is none."""
        kind = "invitation" if link.kind is LinkKind.INVITATION else "reset"
        # In the fragment, which servers and their logs do not see.
        url = f"{self._public_url}/link#{kind}={link.token}"
        lines = [
            _LEADS[link.kind],
            "",
            url,
            "",
            f"It is good until {_at(link.expires_at_ms)}.",
            _IF_NOT_ASKED,
        ]
        return self._letter(address, delivery_id, _SUBJECTS[link.kind], lines, url)

    def _letter(
        self, address: str, delivery_id: str, subject: str, lines: list[str], url: str
    ) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"] = subject
        letter["From"] = self._sender
        letter["To"] = address_of(address)
        letter["Date"] = datetime.now(UTC)
        letter["Message-ID"] = f"<{delivery_id}@{self._sender.domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        text = lines if url in lines else [*lines, "", url]
        letter.set_content("\n".join(text) + "\n")
        letter.add_alternative(_as_html(text, url), subtype="html")
        return letter


def address_of(text: str) -> Address:
    """Return an address, with its name if it has one; ValueError for what is none, or more than one."""
    if not text.isprintable():
        raise ValueError("an address holds no control characters")
    name, spec = parseaddr(text)
    if spec.count("@") != 1 or (not name and spec != text):
        raise ValueError("this is no mail address")
    try:
        found = Address(name, addr_spec=spec)
    except Exception as error:
        raise ValueError("this is no mail address") from error
    if not found.username or not found.domain:
        raise ValueError("this is no mail address")
    return found


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _as_html(lines: list[str], url: str) -> str:
    shown = (
        f'<a href="{escape(line)}">{escape(line)}</a>' if line == url else escape(line) for line in lines
    )
    return f'<!doctype html>\n<html lang="en"><body><p>{_BREAK.join(shown)}</p></body></html>\n'
