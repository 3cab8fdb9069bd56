"""Where vectors live: a child process by default, a Qdrant server by address, memory in tests."""
