"""Small-model inference: embeddings."""
