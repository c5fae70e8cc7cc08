"""Bundles of models as plain data, and their way into and out of the MLflow registry. No Spark."""
