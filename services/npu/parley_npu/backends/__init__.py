"""Ways to compute embeddings."""
