"""The language models of this service, one module each."""
