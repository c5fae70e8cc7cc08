"""Every setting: its type, default, bounds and meaning, and what users declare. `recsys.config` reads them."""
