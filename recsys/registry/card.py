"""The model card: what a version is, in Markdown, as the registry shows it beside the version."""

from __future__ import annotations

import mlflow

from recsys.config import RegistrySettings
from recsys.days import moment_of
from recsys.registry.alias import Decision
from recsys.registry.bundle import Bundle
from recsys.registry.client import asking

MOST = 5000  # characters of a description that MLflow's tables hold


def card(bundle: Bundle, decision: Decision | None = None) -> str:
    """The card's text. `decision`: what became of the version, if that is known."""
    manifest, encoder, snapshot = bundle.manifest, bundle.encoder, bundle.snapshot
    shape = encoder.settings
    tensors = sum(parameter.numel() for parameter in (*encoder.model.parameters(), *bundle.ranker.model.parameters()))
    targets = [name for name, behaviour in manifest.behaviours.items() if behaviour.target]
    tables = ", ".join(f"{name} {version}" for name, version in sorted(manifest.tables.items())) or "none noted"
    lines = [
        f"# Bundle {bundle.id}",
        f"Made {manifest.created_at} by recsys {manifest.version}, {_parent(manifest.parent)}.",
        "",
        "**Answers** a user's recent behaviours with items, best first: the probability of "
        f"{' or '.join(targets)}, and a reason each.",
        "",
        "| | |",
        "|---|---|",
        f"| items with vectors | {len(encoder.vocabulary):,}, {encoder.learned:,} of them learned |",
        f"| items of the snapshot | {len(snapshot.items):,}, as of {_moment(snapshot.at)} |",
        f"| newest behaviour learned from | {_moment(encoder.newest)} |",
        f"| encoder | {shape.blocks} blocks of width {shape.dim}, {shape.length} tokens |",
        f"| ranker | {len(bundle.ranker.names)} features, {manifest.feature_hash} |",
        f"| heads, and their shares of the score | {_heads(bundle)} |",
        f"| newest behaviours that a candidate attends to | {bundle.ranker.attention or 'none'} |",
        f"| places of shown lists corrected for in training | {bundle.ranker.shape.positions or 'none'} |",
        f"| parameters | {tensors:,} |",
        f"| tables read (Delta versions) | {tables} |",
    ]
    if decision is not None:
        lines += ["", f"**Decision:** {decision.outcome}; {decision.reason}."]
    lines += [
        "",
        "**Limits.** Popularity, stock and prices are true at the snapshot's moment; items that were not learned have "
        "guessed vectors; users without behaviours get what is popular.",
    ]
    return "\n".join(lines)[:MOST]


def describe(settings: RegistrySettings, version: str, bundle: Bundle, decision: Decision) -> None:
    """Make the card the version's description. RegistryError: no answer."""
    with asking():
        mlflow.MlflowClient().update_model_version(settings.model, version, card(bundle, decision))


def _heads(bundle: Bundle) -> str:
    return ", ".join(f"{task.behaviour} {task.share:.3f}" for task in bundle.ranker.shape.tasks or ()) or "one"


def _parent(parent: str | None) -> str:
    return "trained anew" if parent is None else f"continued from bundle {parent}"


def _moment(micros: int) -> str:
    return moment_of(micros).isoformat(timespec="seconds")
