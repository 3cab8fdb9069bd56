"""Logging in by another party that knows people: a provider of OpenID Connect."""
