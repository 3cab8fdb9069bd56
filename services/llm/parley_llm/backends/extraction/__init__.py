"""Answers without a model: the best sentences of the given passages, quoted with their numbers."""
