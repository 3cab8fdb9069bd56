"""The `parley` command: starts, watches and stops a local stack, and talks to one."""

__version__ = "0.1.0"
