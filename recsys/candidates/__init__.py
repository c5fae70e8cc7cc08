"""Candidates: which few hundred items are worth ranking for a user. NumPy and torch only."""
