"""The accounts service: users, their sessions, keys and links."""
