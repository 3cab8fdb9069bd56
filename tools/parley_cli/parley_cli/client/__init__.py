"""Talks to a running stack: HTTP, the chat socket, and what to make of a turn's events."""
