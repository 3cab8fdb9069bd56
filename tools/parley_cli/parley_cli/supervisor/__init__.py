"""Runs a local stack: brokers and services as processes, started together, restarted, stopped in order."""
