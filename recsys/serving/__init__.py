"""Answers from the registry's champion, in a service's own process or over HTTP, and the online store. No Spark."""
