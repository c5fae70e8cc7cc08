"""The ranker: examples with features as of their request, training, and the trained model. Spark only in `spark.py`."""
