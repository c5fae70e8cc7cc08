"""From a source's rows to clean events: mapping, cleaning, rejection, dedupe."""
