"""Recall@10 and NDCG@10 of Top-10 lists by RecTools' calc_metrics: runs in the peers' environment, not in ours.

Reads lists.npy [U, 10] and wanted.npy [U], one wanted item a user; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from rectools.metrics import NDCG, Recall, calc_metrics


def main() -> None:
    """Judge the lists of one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    lists, wanted = np.load(asked.folder / "lists.npy"), np.load(asked.folder / "wanted.npy")
    users, size = lists.shape
    recommended = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(users), size),
            "item_id": lists.reshape(-1),
            "rank": np.tile(np.arange(1, size + 1), users),
        }
    )
    happened = pd.DataFrame({"user_id": np.arange(users), "item_id": wanted})
    metrics = {"recall@10": Recall(k=10), "ndcg@10": NDCG(k=10, divide_by_achievable=True)}
    print(json.dumps(calc_metrics(metrics, reco=recommended, interactions=happened)))


if __name__ == "__main__":
    main()
