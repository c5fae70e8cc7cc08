import pytest
import torch

from recsys.config import EncoderSettings
from recsys.encoder.model import Encoder
from recsys.encoder.train import train
from recsys.encoder.transfer import transferred
from recsys.errors import BundleError
from tests.encoder.samples import BEHAVIOURS, encoder_of, views
from tests.encoder.test_train import SMALL, chains, state

OTHERS = ("cart", "like", "view")  # of the origin: two of them are known here, in another order


def blank(items: int = 4) -> Encoder:
    return Encoder(SMALL, items, len(BEHAVIOURS), torch.Generator().manual_seed(5))


def test_all_but_the_items_comes_from_the_origin_and_behaviours_by_name() -> None:
    origin = encoder_of(SMALL, "pq", seed=1, behaviours=OTHERS)
    before, theirs = blank().state_dict(), origin.model.state_dict()
    found = transferred(origin, blank(), SMALL, BEHAVIOURS).state_dict()
    assert set(found) == set(before)
    for name in set(found) - {"items", "behaviours"}:
        assert torch.equal(found[name], theirs[name]), name
    assert torch.equal(found["items"], before["items"])
    row, other = found["behaviours"], theirs["behaviours"]  # row 0: a type that is not known; then BEHAVIOURS
    for mine, wanted in ((0, other[0]), (1, other[3]), (2, before["behaviours"][2]), (3, other[1])):
        assert torch.equal(row[mine], wanted)


def test_an_origin_without_a_common_type_keeps_the_own_rows() -> None:
    found = transferred(encoder_of(SMALL, "pq", behaviours=("like",)), blank(), SMALL, BEHAVIOURS).state_dict()
    assert torch.equal(found["behaviours"][1:], blank().state_dict()["behaviours"][1:])


def test_a_training_begins_there_and_leaves_the_origin_as_it_was() -> None:
    """A chain that goes on in other steps: the weights still lead to another first epoch, the same each time."""
    origin, _ = train(chains(300), BEHAVIOURS, SMALL, 1)
    kept = {name: weight.clone() for name, weight in state(origin).items()}
    once = SMALL.model_copy(update={"epochs": 1})
    shop = chains(100, seed=3, step=7)
    plain, (cold,) = train(shop, BEHAVIOURS, once, 1)
    moved, (warm,) = train(shop, BEHAVIOURS, once, 1, origin=origin)
    assert moved.vocabulary == plain.vocabulary
    assert warm.loss != cold.loss
    assert all(torch.equal(kept[name], weight) for name, weight in state(origin).items())
    again, _ = train(shop, BEHAVIOURS, once, 1, origin=origin)
    assert all(torch.equal(a, b) for a, b in zip(state(again).values(), state(moved).values(), strict=True))


def test_items_of_the_origin_are_not_taken_over_even_under_the_same_name() -> None:
    origin, _ = train(chains(100), BEHAVIOURS, SMALL, 1)
    quiet = SMALL.model_copy(update={"lr": 1e-12, "epochs": 1})
    moved, _ = train(chains(100), BEHAVIOURS, quiet, 2, origin=origin)
    plain, _ = train(chains(100), BEHAVIOURS, quiet, 2)
    torch.testing.assert_close(moved.model.items, plain.model.items)
    torch.testing.assert_close(moved.model.gaps, origin.model.gaps)


@pytest.mark.parametrize("name", ["dim", "blocks", "heads", "expansion", "length"])
def test_another_shape_is_refused(name: str) -> None:
    wanted = SMALL.model_copy(update={name: 2 * getattr(SMALL, name)})
    origin = encoder_of(SMALL, "ab")
    says = rf"encoder\.{name} is {getattr(wanted, name)}, .* has {getattr(SMALL, name)}\. Set .*without a start"
    with pytest.raises(BundleError, match=says):
        train(views("ab", "ba"), BEHAVIOURS, wanted, 1, origin=origin)


def test_the_setting_is_empty_by_default() -> None:
    assert EncoderSettings().start == ""
