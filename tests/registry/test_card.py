"""The card says what the bundle is, by hand-counted figures of the tests' small bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recsys.ranking.heads import Task
from recsys.registry.alias import Decision
from recsys.registry.card import MOST, card
from tests.registry.conftest import MakeBundle


def test_a_card_tells_what_the_bundle_is_and_what_became_of_it(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", 1)
    decided = Decision(outcome="refused", version="3", bundle=bundle.id, previous="2", reason="ndcg@10 0.1 against 0.2")
    text = card(bundle, decided)
    for part in (
        f"# Bundle {bundle.id}\n",
        "trained anew.",
        "the probability of click or cart or purchase or rating",
        "| items with vectors | 20, 20 of them learned |",
        "| items of the snapshot | 20, as of 2025-10-09T08:53:20+00:00 |",
        "| heads, and their shares of the score | one |",
        "| newest behaviours that a candidate attends to | none |",
        "| places of shown lists corrected for in training | none |",
        "| encoder | 1 blocks of width 8, 4 tokens |",
        "| tables read (Delta versions) | events 7, examples 3 |",
        "**Decision:** refused; ndcg@10 0.1 against 0.2.",
    ):
        assert part in text, part
    tasks = tuple(Task(behaviour=name, weight=1, share=share) for name, share in (("click", 0.25), ("purchase", 0.75)))
    two = replace(bundle.ranker, shape=bundle.ranker.shape.model_copy(update={"tasks": tasks}))
    assert "shares of the score | click 0.250, purchase 0.750 |" in card(replace(bundle, ranker=two))
    assert "Decision" not in card(bundle)
    assert len(card(bundle, Decision(**vars(decided) | {"reason": "x" * 9000}))) == MOST
