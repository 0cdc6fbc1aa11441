"""Self-consistency: draw N solutions and take the answer that most of them reach."""

from dataclasses import dataclass
from typing import ClassVar

from tts_bench import SampleAndSelect


@dataclass(frozen=True)
class SelfConsistency(SampleAndSelect):
    """Majority vote over answers (Wang et al. 2022, 2203.11171); needs no verifier."""

    selector: ClassVar[str] = "majority"
