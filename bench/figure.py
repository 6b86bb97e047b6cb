"""A figure: what was measured against what, in which rounds, and the floor that it must not fall below."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MISSED = "MISSED"
"""The verdict on a figure that is below its floor, or above what it may be at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure: `rounds` of `seconds` each, links at `clicks` clicks, a table of `rows` URLs; `only`: the one figure wanted."""

    rounds: int
    seconds: float
    clicks: int
    rows: int
    only: str = ""

    def wants(self, *names: str) -> bool:
        """Whether one of these figures is wanted."""
        return not self.only or self.only in names


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure and all of its runs; `baseline` says what it is compared with, and the absolute numbers."""

    name: str
    runs: Sequence[float]
    baseline: Mapping[str, Any]
    floor: float | None = None
    aim: float | None = None
    unit: str = "×"
    less_is_better: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """The median of the runs; None when there were none."""
        return statistics.median(self.runs) if self.runs else None

    @property
    def verdict(self) -> str:
        """Whether the floor is reached."""
        if self.floor is None or self.value is None:
            return ""
        reached = self.value <= self.floor if self.less_is_better else self.value >= self.floor
        return "reached" if reached else MISSED

    def as_json(self) -> dict[str, Any]:
        """As it stands in results/latest.json."""
        limits = {"floor": self.floor, "aim": self.aim, "unit": self.unit}
        return {
            "value": None if self.value is None else rounded(self.value),
            "runs": [rounded(run) for run in self.runs],
            "baseline": self.baseline,
            **limits,
            **self.more,
        }


def ratio(name: str, measured: Sequence[float], baseline: Sequence[float], what: str, unit: str = "per_second", **rest: Any) -> Figure:
    """What was measured ÷ its baseline, round by round."""
    runs = [one / other for one, other in zip(measured, baseline, strict=True)]
    absolute = {unit: [rounded(each) for each in baseline], f"measured_{unit}": [rounded(each) for each in measured]}
    return Figure(name, runs, {"what": what, **absolute}, **rest)


def rounded(value: float) -> float:
    """Four significant digits, which is more than is known."""
    return float(f"{value:.4g}")
