"""What a selection found and left out, as the bundle keeps it. Plain data."""

from __future__ import annotations

from recsys.config import Section, SelectionSettings


class Measured(Section):
    """One feature's figures. None: not measured, because it was left out before, or not defined."""

    feature: str
    reason: str = ""  # why it goes; empty: it stays
    partner: str = ""  # the feature with the largest absolute rank correlation
    correlation: float | None = None  # with the partner, Spearman's
    mutual_information: float | None = None  # with the label, nats
    chi2: float | None = None  # statistic of independence from the label
    p_value: float | None = None  # of the statistic
    importance: float | None = None  # log loss that shuffling the feature costs, nats an example


class Selected(Section):
    """The settings of a selection, and every feature in order."""

    settings: SelectionSettings
    features: tuple[Measured, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The features that the ranker does not read."""
        gone = tuple(one.feature for one in self.features if one.reason) if self.settings.apply else ()
        return tuple(dict.fromkeys((*self.settings.drop, *gone)))
