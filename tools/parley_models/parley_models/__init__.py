"""Builds the embedding model's files, and proves that each gives the same vectors."""
