"""What the accounts service counts."""

from prometheus_client import CollectorRegistry, Counter


class AccountsMetrics:
    """Counters of who came in, by what became of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._logins = Counter(
            "parley_accounts_logins", "Logins, by their result.", ["result"], registry=registry
        )
        self._refreshes = Counter(
            "parley_accounts_refreshes",
            "Refresh tokens that were shown, by what became of them; `reused` ended a session.",
            ["result"],
            registry=registry,
        )
        self._keys = Counter(
            "parley_accounts_key_checks",
            "API keys that were looked up, by the result.",
            ["result"],
            registry=registry,
        )

        self._deliveries = Counter(
            "parley_accounts_deliveries",
            "Attempts to mail or post something, by way and result.",
            ["way", "result"],
            registry=registry,
        )

        self._provider_logins = Counter(
            "parley_accounts_provider_logins",
            "Logins by a provider of OpenID Connect, by their result: `let_in`, `away`, or what was wrong.",
            ["result"],
            registry=registry,
        )

    def count_provider_login(self, result: str) -> None:
        """Count a login by a provider."""
        self._provider_logins.labels(result).inc()

    def count_login(self, *, is_let_in: bool) -> None:
        """Count a login."""
        self._logins.labels("let_in" if is_let_in else "refused").inc()

    def count_refresh(self, result: str) -> None:
        """Count a refresh token."""
        self._refreshes.labels(result).inc()

    def count_key(self, *, is_known: bool) -> None:
        """Count an API key that was looked up."""
        self._keys.labels("known" if is_known else "refused").inc()

    def count_delivery(self, way: str, *, is_done: bool) -> None:
        """Count an attempt to deliver something."""
        self._deliveries.labels(way, "done" if is_done else "failed").inc()
