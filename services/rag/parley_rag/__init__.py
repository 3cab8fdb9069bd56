"""Documents: ingestion, hybrid search and citations."""
