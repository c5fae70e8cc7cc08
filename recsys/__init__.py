"""A recommender's feature and model pipeline: events in, Top-N recommendations out."""

__version__ = "0.1.0"
