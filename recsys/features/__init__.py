"""Behaviour features: one definition for stream, backfill, training and server."""
