"""Whether memory is flat: a line through what a process has held, its warm-up and its restarts apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

SAMPLE_SECONDS = 10.0
WARM_SECONDS = 600.0
"""The first ten minutes of a run are its warm-up: caches fill."""
AGAIN_SECONDS = 300.0
"""And the first five of a process that was started again."""
JUDGED_SECONDS = 1800.0
"""Less than so much beyond the warm-up says nothing of hours: it is told and not judged."""
MOST_PER_HOUR = 12.0
"""10⁶ bytes an hour by which memory may seem to grow. Half an hour of samples that wander by some MB show up to 8; a leak shows its 20."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process with its children held at a time: seconds since the run began, 10⁶ bytes; `life` counts its starts."""

    seconds: float
    megabytes: float
    life: int


@dataclass(slots=True)
class Memory:
    """Samples of one process through its lives."""

    samples: list[Sample] = field(default_factory=list)

    def per_hour(self) -> float:
        """The slope that all lives share, each about a level of its own, in 10⁶ bytes an hour; 0 without two samples."""
        above = below = 0.0
        for life in self._judged():
            middle = sum(sample.seconds for sample in life) / len(life)
            level = sum(sample.megabytes for sample in life) / len(life)
            above += sum((sample.seconds - middle) * (sample.megabytes - level) for sample in life)
            below += sum((sample.seconds - middle) ** 2 for sample in life)
        return above / below * 3600 if below else 0.0

    def judged_seconds(self) -> float:
        """How long the process was watched beyond warm-ups."""
        return sum(life[-1].seconds - life[0].seconds for life in self._judged())

    def problems(self, name: str) -> list[str]:
        """That it grows, if it was watched for long enough."""
        if self.judged_seconds() < JUDGED_SECONDS or self.per_hour() <= MOST_PER_HOUR:
            return []
        return [f"the memory of the {name} grows by {self.per_hour():.0f} MB an hour"]

    def _judged(self) -> list[Sequence[Sample]]:
        lives = [list(life) for _, life in groupby(self.samples, lambda sample: sample.life)]
        starts = [(life[0].seconds, life) for life in lives]
        warm = [[each for each in life if each.seconds >= max(WARM_SECONDS, start + AGAIN_SECONDS)] for start, life in starts]
        return [life for life in warm if life]
