import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder import validate
from recsys.encoder.examples import HeldOut
from recsys.encoder.sequences import Windows, collate, ragged, tokens
from recsys.encoder.validate import judge, ranks
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
    wanted, first = [], []
    for user, row in enumerate(rows):
        w = Windows(start=ints(7 * user + 2), end=ints(7 * user + 6))  # the newest four before the held-out one
        flat = ragged(w.start, w.lengths)
        with torch.inference_mode():
            query = model(collate(t, w, flat, t.item[flat]), model.items, newest=True)[0]
            scores = dict(zip(ITEMS, (model.item_vectors() @ query).tolist(), strict=True))
        unseen = set(ITEMS) - {item for item, _, _ in row[:-1]}
        wanted.append(sum(scores[item] > scores[ITEMS[-1]] for item in unseen))
        first.append(sorted(unseen, key=lambda item: -scores[item]))
    assert ranks(5, model, t, held, 4)[0].tolist() == wanted
    assert len(set(wanted)) > 3
    for name, most in (("BLOCK", 2), ("SCORES", 3 * len(ITEMS)), ("SCORES", 1)):
        monkeypatch.setattr(validate, name, most)
        rank, best = ranks(5, model, t, held, 4)
        assert rank.tolist() == wanted
        assert [[ITEMS[place] for place in row] for row in best] == [row[:5] for row in first]
    assert (ranks(99, model, t, held, 4)[1] == -1).sum() == 9 * 20 - sum(map(len, first))  # seen items are no answer
    for k in (1, 5, 20):
        found = judge(k, model, t, held, 4)
        assert found.recall == sum(rank < k for rank in wanted) / 9
        assert found.ndcg == pytest.approx(sum(1 / np.log2(rank + 2) for rank in wanted if rank < k) / 9)
        assert found.coverage == len({item for row in first for item in row[:k]}) / len(ITEMS)


def test_nobody_held_out_is_no_number() -> None:
    h = histories([[("a", 0, 0)]])
    t = tokens(h, Vocabulary(ITEMS), 3)
    none = HeldOut(start=ints(), position=ints())
    found = judge(10, model_of(SMALL, len(ITEMS)), t, none, 4)
    assert np.isnan([found.recall, found.ndcg, found.coverage]).all()
