"""What a model's work costs in dollars: by the token, as services bill, or by the hour of a GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from tts_bench.types import NotNegative, Positive

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of a model, the key `price` of `engine` and `verifier`; None where one is not known.

    Tokens are priced by the million. `gpu_hour` is for a model on machines of one's own: `shared`
    says of a verifier that it runs on the policy's GPUs.
    """

    input: NotNegative | None = None
    cached_input: NotNegative | None = None
    """Price of the input that the engine reports as cached; None: as all other input."""
    output: NotNegative | None = None
    gpu_hour: NotNegative | Literal["shared"] | None = None
    gpus: Positive = 1
    """How many GPUs are paid for while the run lasts."""

    def __post_init__(self) -> None:
        by_token = [self.input, self.cached_input, self.output]
        numbers = [*by_token, self.gpu_hour, self.gpus]
        if any(isinstance(one, float) and not math.isfinite(one) for one in numbers):
            raise ValueError("must be finite numbers")
        if self.gpu_hour is None and by_token == [None, None, None]:
            raise ValueError("names no price: give input and output, or gpu_hour")
        if self.gpu_hour is not None and by_token != [None, None, None]:
            raise ValueError("is by the token (input, output) or by gpu_hour, not both")
        if self.cached_input is not None and self.input is None:
            raise ValueError("cached_input needs input, the price of what is not cached")
        if self.gpus != 1 and not isinstance(self.gpu_hour, int | float):
            raise ValueError("gpus needs gpu_hour, the price of one for an hour")

    def of_tokens(
        self, read: float | None, cached: float | None, written: float | None
    ) -> float | None:
        """Dollars for tokens; None if a count or a price that is needed is not known.

        What is not known to have been cached is paid as input.
        """
        cached_price = self.input if self.cached_input is None else self.cached_input
        fresh = None if read is None else read - (cached or 0.0)
        parts = [
            _times(fresh, self.input),
            _times(cached or 0.0, cached_price),
            _times(written, self.output),
        ]
        known = [part for part in parts if part is not None]
        return sum(known) / _MILLION if len(known) == len(parts) else None

    def of_hours(self, seconds: float) -> float | None:
        """Dollars for the GPUs over a time; None without an hourly price of its own."""
        if not isinstance(self.gpu_hour, int | float):
            return None
        return self.gpu_hour * self.gpus * seconds / 3600


PRICE_KEYS = tuple(field.name for field in fields(Price))


def in_dollars(amount: float) -> str:
    """An amount with its sign, and as many digits after the point as three that count need.

    >>> in_dollars(0.00012345), in_dollars(0.0), in_dollars(1234.5), in_dollars(2.5)
    ('$0.000123', '$0', '$1234', '$2.50')
    """
    if not amount:
        return "$0"
    power = math.floor(math.log10(abs(amount)))
    return f"${amount:.{max(0, 2 - power)}f}"


def _times(count: float | None, price: float | None) -> float | None:
    """A count at a price; nothing costs nothing, whatever its price, and so does what is free."""
    if 0 in (count, price):
        return 0.0
    return None if count is None or price is None else count * price
