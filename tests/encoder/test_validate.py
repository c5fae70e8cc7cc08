import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder import validate
from recsys.encoder.examples import HeldOut
from recsys.encoder.sequences import Windows, collate, ragged, tokens
from recsys.encoder.validate import ranks, recall_at
from recsys.encoder.vocabulary import Vocabulary
from recsys.features.history import I64
from tests.encoder.samples import Step, histories, model_of

ITEMS = tuple("abcdefghijklmnopqrst")
SMALL = EncoderSettings(dim=8, heads=2, length=4)


def ints(*values: int) -> I64:
    return np.asarray(values, dtype=np.int64)


def test_ranks_are_those_of_a_plain_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows: list[list[Step]] = []
    for _ in range(9):
        seen = random.choice(list(ITEMS[:-1]), 6)
        rows.append([(str(item), 0, 10 * place) for place, item in enumerate([*seen, ITEMS[-1]])])
    rows[2][1] = (None, 0, 10)
    h, vocabulary = histories(rows), Vocabulary(ITEMS)
    t, model = tokens(h, vocabulary, 3), model_of(SMALL, len(ITEMS))
    held = HeldOut(start=h.offsets[:-1], position=h.offsets[1:] - 1)
    wanted = []
    for user, row in enumerate(rows):
        w = Windows(start=ints(7 * user + 2), end=ints(7 * user + 6))  # the newest four before the held-out one
        flat = ragged(w.start, w.lengths)
        with torch.inference_mode():
            query = model(collate(t, w, flat, t.item[flat]), model.items, newest=True)[0]
            scores = dict(zip(ITEMS, (model.item_vectors() @ query).tolist(), strict=True))
        unseen = set(ITEMS) - {item for item, _, _ in row[:-1]}
        wanted.append(sum(scores[item] > scores[ITEMS[-1]] for item in unseen))
    assert ranks(model, t, held, 4).tolist() == wanted
    assert len(set(wanted)) > 3
    for name, most in (("BLOCK", 2), ("SCORES", 3 * len(ITEMS)), ("SCORES", 1)):
        monkeypatch.setattr(validate, name, most)
        assert ranks(model, t, held, 4).tolist() == wanted
    for k in (1, 5, 20):
        assert recall_at(k, model, t, held, 4) == sum(rank < k for rank in wanted) / 9


def test_nobody_held_out_is_no_number() -> None:
    h = histories([[("a", 0, 0)]])
    t = tokens(h, Vocabulary(ITEMS), 3)
    none = HeldOut(start=ints(), position=ints())
    assert np.isnan(recall_at(10, model_of(SMALL, len(ITEMS)), t, none, 4))
