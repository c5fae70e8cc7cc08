"""Older examples beside an increment's new ones, so that it forgets less: whole requests, drawn by seed. No Spark.

Experience replay (Rolnick et al. 2019, section 3), with the stored examples as the buffer.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def drawn(older: pa.Table, new: pa.Table, share: float, features: int, seed: int) -> pa.Table:
    """Rows of `older` in their order: `share` times as many requests as `new` has, or all that there are.

    Both have the columns of `ranking.job.SCHEMA`, and `new` has rows. What was stored with another number of `features`
    is of earlier settings and left out. The same tables and seed give the same rows.
    """
    fitting = older.filter(pc.equal(pc.list_value_length(older["features"]), features))
    requests = pc.unique(fitting["request_id"])
    wanted = round(share * len(pc.unique(new["request_id"])))
    rng = np.random.default_rng([seed, new["at"][0].value // 1_000_000])
    chosen = requests.take(pa.array(rng.permutation(len(requests))[:wanted]))
    return fitting.filter(pc.is_in(fitting["request_id"], value_set=chosen))
