from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder.content import Content
from recsys.encoder.progress import EpochLog
from recsys.encoder.train import train, training_device
from recsys.encoder.trained import TrainedEncoder
from recsys.errors import BundleError, ConfigError, NoDataError
from recsys.features.history import MISSING, Histories, at_end
from tests.encoder.samples import BEHAVIOURS, S, histories, views

ITEMS = 60
SMALL = EncoderSettings(
    dim=16, heads=2, length=8, dropout=0.1, batch=32, lr=0.01, epochs=8, negatives=32, validation_share=0.2
)
Logs = list[EpochLog]


def chains(users: int, seed: int = 0, step: int = 1, first: int = 0) -> Histories:
    """Each user begins anywhere on a ring of items and goes on by `step`, a minute a step."""
    random = np.random.default_rng(seed)
    rows = []
    for begin in random.integers(ITEMS, size=users).tolist():
        length = int(random.integers(3, 9))
        rows.append([(f"i{(begin + step * n) % ITEMS:02}", n % 3, first + 60 * n) for n in range(length)])
    return histories(rows)


def learn(
    h: Histories, seed: int = 1, start: TrainedEncoder | None = None, **changes: object
) -> tuple[TrainedEncoder, Logs]:
    return train(h, BEHAVIOURS, SMALL.model_copy(update=changes), seed, start)


@pytest.fixture(scope="module")
def learned() -> tuple[TrainedEncoder, Logs]:
    torch.set_num_threads(1)
    return learn(chains(400))


def test_prefixes_learn_more_in_an_epoch(learned: tuple[TrainedEncoder, Logs]) -> None:
    _, logs = learn(chains(400), prefixes=True, smoothing=0.1)
    assert logs[0].sequences > 3 * learned[1][0].sequences  # one for each target
    assert logs[0].recall > learned[1][0].recall
    again, _ = learn(chains(400), prefixes=True, smoothing=0.1)
    assert torch.equal(again.model.items, learn(chains(400), prefixes=True, smoothing=0.1)[0].model.items)


def test_hidden_items_and_averaged_weights_learn_too(learned: tuple[TrainedEncoder, Logs]) -> None:
    _, masked = learn(chains(400), masking=0.2, averaging=0.9, epochs=8)
    assert masked[0].loss > learned[1][0].loss  # a hidden item tells nothing
    assert masked[-1].recall > 0.9
    slow, _ = learn(chains(400), averaging=0.99, epochs=1)
    plain, _ = learn(chains(400), epochs=1)
    assert not torch.equal(slow.model.items, plain.model.items)


def test_content_places_items_that_nobody_met_and_the_next_increment_begins_there() -> None:
    """A ring of items in six arcs, each a category: items that nobody met lie in their arc."""
    names, fresh = [f"i{n:02}" for n in range(ITEMS)], [f"new{n:02}" for n in range(40)]
    described = (*names, *fresh, "odd")
    arcs = (*(f"arc|{n // 10}" for n in range(ITEMS)), *("arc|2" for _ in fresh), None)
    blank = tuple(None for _ in described)
    content = Content(items=described, title=blank, category=arcs, price=np.full(len(described), MISSING))
    encoder, _ = train(chains(400), BEHAVIOURS, SMALL, 1, content=content)
    assert encoder.vocabulary.items[encoder.learned :] == tuple(fresh)
    assert len(encoder.crowd) == len(encoder.vocabulary) == encoder.learned + 40
    vectors = encoder.item_vectors()
    cosine = vectors[encoder.learned :].mean(axis=0) @ vectors[encoder.vocabulary.index(names) - 1].T
    arc = np.arange(ITEMS) // 10 == 2
    assert cosine[arc].mean() > cosine[~arc].mean() + 0.05
    later = histories([[("i03", 0, 10_000), ("new07", 0, 10_060), ("i04", 0, 10_120)]] * 20)
    grown, _ = train(later, BEHAVIOURS, SMALL, 1, encoder, content=content)
    assert grown.vocabulary.items[grown.learned - 1] == "new07"
    assert set(grown.vocabulary.items[grown.learned :]) == set(fresh) - {"new07"}


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device("auto") == training_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"sees no GPU.*encoder\.device=cpu"):
        learn(chains(5), device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("prefixes", [False, True])
def test_a_gpu_learns_the_same(learned: tuple[TrainedEncoder, Logs], prefixes: bool) -> None:
    encoder, logs = learn(chains(400), device="cuda", prefixes=prefixes)
    assert max(log.recall for log in logs) > 0.9
    assert encoder.model.items.device.type == "cpu"
    assert logs[0].loss == pytest.approx(learn(chains(400), device="cpu", prefixes=prefixes)[1][0].loss, rel=0.05)


def test_it_learns_what_comes_next(learned: tuple[TrainedEncoder, Logs]) -> None:
    encoder, logs = learned
    assert max(log.recall for log in logs) > 0.9  # chance: 10 of about 55 unseen
    assert logs[-1].loss < logs[0].loss / 2
    fresh = chains(50, seed=9)
    vectors, items = encoder.encode(fresh, at_end(fresh, 0)), encoder.item_vectors()
    right = []
    for user in range(50):
        mine = fresh.item[fresh.offsets[user] : fresh.offsets[user + 1]]
        scores = vectors[user] @ items.T
        scores[encoder.vocabulary.index([fresh.items[item] for item in mine]) - 1] = -np.inf
        last = int(fresh.items[mine[-1]][1:])
        right.append(encoder.vocabulary.items[scores.argmax()] == f"i{(last + 1) % ITEMS:02}")
    assert np.mean(right) > 0.5  # on users it never saw, the very next item; chance: 1 of about 55
    assert encoder.newest == 7 * 60 * S
    assert (encoder.model.items[0] == 0).all()
    assert not encoder.model.training


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    h = chains(150)
    seen: Logs = []
    settings = SMALL.model_copy(update={"lr": 0.05, "epochs": 12, "patience": 2})
    encoder, logs = train(h, BEHAVIOURS, settings, 1, on_epoch=seen.append)
    assert seen == logs
    assert [log.epoch for log in logs] == list(range(1, len(logs) + 1))
    recalls = [log.recall for log in logs]
    best = recalls.index(max(recalls))
    assert len(logs) == min(best + 1 + 2, 12)
    short, _ = train(h, BEHAVIOURS, settings.model_copy(update={"epochs": best + 1}), 1)
    assert all(torch.equal(a, b) for a, b in zip(state(encoder).values(), state(short).values(), strict=True))


def state(encoder: TrainedEncoder) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = encoder.model.state_dict()
    return found


def test_the_seed_decides_everything() -> None:
    h, before = chains(60), torch.get_rng_state()
    one, _ = learn(h, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    two, _ = learn(h, epochs=2)
    other, _ = learn(h, seed=2, epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(state(one).values(), state(two).values(), strict=True))
    assert not torch.equal(one.model.items, other.model.items)


def test_nobody_held_out_runs_all_epochs_and_keeps_the_newest() -> None:
    h = chains(40)
    encoder, logs = learn(h, validation_users=0, epochs=4, patience=1)
    assert len(logs) == 4
    assert all(np.isnan(log.recall) for log in logs)
    shorter, _ = learn(h, validation_users=0, epochs=3)
    assert not torch.equal(encoder.model.items, shorter.model.items)


def joined(*parts: Histories) -> Histories:
    """One user's stretches one after the other, user by user; the parts share times of their own."""
    rows = [
        [
            (part.items[part.item[p]], int(part.behaviour[p]), int(part.time[p]) // S)
            for part in parts
            for p in range(part.offsets[user], part.offsets[user + 1])
        ]
        for user in range(parts[0].users)
    ]
    return histories(rows)


def test_an_increment_learns_what_is_new_and_keeps_what_is_known(learned: tuple[TrainedEncoder, Logs]) -> None:
    start, _ = learned
    before = {name: weight.clone() for name, weight in state(start).items()}
    newer = chains(200, seed=3, step=7, first=1000)
    encoder, logs = learn(joined(chains(200), newer), start=start, increment_epochs=3)
    assert 1 <= len(logs) <= 3
    assert encoder.vocabulary == start.vocabulary
    assert encoder.newest == max(int(newer.time.max()), start.newest)
    assert max(log.recall for log in logs) > 0.3  # the new habit: 7 further
    assert all(torch.equal(before[name], weight) for name, weight in state(start).items())
    windows = {log.sequences for log in logs}
    assert windows == {round(200 * 1.2)}  # a window each, and a fifth as many replayed


def test_where_nothing_gets_better_an_increment_returns_its_beginning(learned: tuple[TrainedEncoder, Logs]) -> None:
    start, _ = learned
    newer = chains(100, seed=4, first=1000)
    renamed = replace(newer, items=(*newer.items[:-1], "new"))
    encoder, logs = learn(renamed, start=start, lr=5.0, increment_epochs=2)
    assert len(logs) == 2
    assert encoder.vocabulary.items == (*start.vocabulary.items, "new")
    known = state(start)["items"]
    assert torch.equal(state(encoder)["items"][: len(known)], known)
    for name in ("gaps", "blocks.0.widen.weight"):
        assert torch.equal(state(encoder)[name], state(start)[name])
    assert float(state(encoder)["items"][-1].norm()) > 0


def test_nothing_to_learn_is_said(learned: tuple[TrainedEncoder, Logs]) -> None:
    start, _ = learned
    for h in (views("aaa", "b", ""), histories([])):
        with pytest.raises(NoDataError, match=f"None of {h.users} histories holds two different items: "):
            learn(h)
    with pytest.raises(NoDataError, match="two different items newer than the encoder to continue from"):
        learn(chains(20), start=start)
    with pytest.raises(BundleError, match=r"encoder\.dim is 32"):
        learn(chains(20), start=start, dim=32)


def test_behaviours_without_an_item_leave_the_unknown_row_at_zero() -> None:
    searches = histories([[("a", 0, 0), (None, 1, 60), ("b", 0, 120), (None, 1, 180), ("c", 0, 240)]] * 9)
    encoder, _ = learn(searches, epochs=1)
    assert (encoder.model.items[0] == 0).all()
    assert (encoder.model.items[1:] != 0).any()


def test_the_full_softmax_learns_too() -> None:
    _, logs = learn(chains(200), negatives=ITEMS, epochs=4)
    assert logs[-1].loss < logs[0].loss
    assert logs[0].loss < 15
