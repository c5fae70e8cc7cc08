"""A seeded shop with a known truth: the embedded demo's source and the load generator. Knows nothing of the models."""
