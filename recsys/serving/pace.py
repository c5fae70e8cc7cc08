"""How many candidates fit into an answer's time: fixed + each x candidates, measured when a bundle is loaded."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = 0.9  # weight of the past in the machine's load, which follows within about ten answers


@dataclass
class Pace:
    """A latency budget. Seconds throughout; `load` is what answers took lately over what they took when measured."""

    budget: float  # 0: none
    least: int  # candidates
    fixed: float  # of an answer without candidates
    each: float  # of a candidate
    load: float = 1.0  # never less: what was measured is the longest history, and others may follow short ones

    def expected(self, candidates: int) -> float:
        """Seconds of an answer with so many candidates on the machine as it was measured."""
        return self.fixed + self.each * candidates

    def allowed(self, waited: float, full: int) -> int:
        """Candidates, `full` at most and `least` at least, that still fit when a request has waited so long."""
        if not self.budget or not self.each:
            return full
        left = (self.budget - waited) / self.load - self.fixed
        return min(full, max(min(self.least, full), int(left / self.each)))

    def learn(self, candidates: int, seconds: float) -> None:
        """An answer with so many candidates took so long."""
        self.load = max(1.0, MEMORY * self.load + (1 - MEMORY) * seconds / self.expected(candidates))


def fitted(budget: float, least: int, few: tuple[int, float], many: tuple[int, float]) -> Pace:
    """A pace from two measurements (candidates, seconds); if more candidates took no longer, they count as free."""
    each = max((many[1] - few[1]) / max(many[0] - few[0], 1), 0.0)
    return Pace(budget=budget, least=least, fixed=max(few[1] - each * few[0], 1e-6), each=each)
