"""Token-budget prompting: tell the model how many tokens its solution may take."""

from dataclasses import dataclass

from tts_bench import Problem, Sampling, Session, Solution, Strategy

ESTIMATE = (
    "Do not solve this problem yet. How many tokens does the shortest complete solution of it,"
    " step by step, take? Reply with that number alone, in double square brackets: [[number]]"
)
SOLVE = "Think step by step, and use fewer than {budget} tokens in all."


@dataclass(frozen=True)
class TokenBudget(Strategy):
    """Solve under a budget that stands in the prompt (TALE-EP, Han et al. 2024, 2412.18547).

    The budget is `budget`, or the model's own estimate, which takes a call of its own that is
    charged like any other. Nothing enforces it: how far the model keeps to it is what the
    report's elasticity shows. The wording is this project's, not the paper's.
    """

    budget: int | None = None
    """Tokens that the model is told to stay below; null: it is asked for an estimate."""
    estimate_tokens: int = 32
    """Longest estimate."""
    fallback: int = 256
    """The budget where the estimate holds no number."""

    def __post_init__(self) -> None:
        for name in ("budget", "estimate_tokens", "fallback"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        return sampling.max_tokens + (0 if self.budget else self.estimate_tokens)

    async def solve(self, problem: Problem, session: Session) -> Solution:
        allowed = self.budget or await self._estimate(session)
        instruction = SOLVE.format(budget=allowed)
        candidates = await session.sample(1, instruction=instruction)
        chosen = 0 if candidates[0].answer is not None else None
        facts = {"tokens_allowed": allowed, "tokens_used": candidates[0].generated_tokens}
        return Solution(tuple(candidates), chosen, facts=facts if candidates[0].counted else {})

    async def _estimate(self, session: Session) -> int:
        [reply] = await session.sample(
            1, instruction=ESTIMATE, max_tokens=self.estimate_tokens, temperature=0.0
        )
        return _bracketed_number(reply.text) or self.fallback


def _bracketed_number(text: str) -> int | None:
    """The last number in double square brackets, or None if there is none."""
    number = text.rpartition("[[")[2].partition("]]")[0].replace(",", "").strip()
    return int(number) if "[[" in text and number.isdecimal() else None
