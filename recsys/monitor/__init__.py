"""Monitoring: metrics by time split beside popularity, and the report page."""
