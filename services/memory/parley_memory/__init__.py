"""The memory service: conversations and their messages, each stored exactly once."""
