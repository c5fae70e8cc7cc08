"""Top-N: the one function that batch, stream and server call, and its Spark wrapper (`spark.py`)."""
