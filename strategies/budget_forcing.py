"""Budget forcing: make the model think longer by taking its "done" back, or cut it short."""

from dataclasses import dataclass
from typing import ClassVar

from tts_bench import Candidate, Problem, Sampling, Session, Solution, Strategy


@dataclass(frozen=True)
class BudgetForcing(Strategy):
    """One chain of thought between two bounds (Muennighoff et al. 2025, 2501.19393, section 3.1).

    The lower bound: where the model ends its thinking too early, the end is taken back and
    `wait` is put in its place. The upper bound: where it thinks too long, its thinking is cut
    off, the end is written for it and the answer is asked for. All rounds share one count of
    thinking tokens, of which those that were taken back are part.
    """

    needs: ClassVar = ("exact_tokens",)

    waits: int = 2
    """How often an end of thinking is taken back, whatever has been thought by then."""
    wait: str = "Wait"
    """What is put in its place."""
    end_of_thinking: str | None = "</think>"
    """The text that ends the thinking, whether one token or many; null for a model that has
    none. The end of its turn ends the thinking in any case."""
    min_thinking_tokens: int = 0
    """Ends are taken back until so much has been thought, even beyond `waits`."""
    max_thinking_tokens: int | None = None
    """Where thinking is cut off; null: at the suite's `max_tokens`."""
    max_answer_tokens: int = 1024
    """Longest answer after the thinking."""
    answer_prompt: str = "\nFinal Answer:"
    """What asks for the answer where the thinking was cut off."""

    def __post_init__(self) -> None:
        for name in ("waits", "min_thinking_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.max_answer_tokens < 1:
            raise ValueError(f"max_answer_tokens must be at least 1, not {self.max_answer_tokens}")
        most = self.max_thinking_tokens
        if most is not None and most < max(1, self.min_thinking_tokens):
            least = f"at least 1 and min_thinking_tokens ({self.min_thinking_tokens})"
            raise ValueError(f"max_thinking_tokens must be {least}, not {most}")
        if self.end_of_thinking == "":
            raise ValueError("end_of_thinking must not be empty; null says that there is none")

    def most_tokens(self, sampling: Sampling) -> int | None:
        """All thinking tokens and the longest answer."""
        return (self.max_thinking_tokens or sampling.max_tokens) + self.max_answer_tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        """Think, wait, think on, answer."""
        most = self._most_thinking(session)
        thought, waited = await self._think(most, session)
        solution = await self._answer(thought, most, session)
        facts = {"thinking_tokens": thought.generated_tokens, "waits": waited}
        chosen = 0 if solution.answer is not None else None
        return Solution((solution,), chosen, facts=facts)

    async def _think(self, most: int, session: Session) -> tuple[Candidate, int]:
        """The whole thinking, and how often its end was taken back."""
        ends = session.sampling.stop
        if self.end_of_thinking is not None:
            ends = (self.end_of_thinking, *ends)
        [thought] = await session.sample(1, max_tokens=most, stop=ends)
        waited, before = 0, 0
        while thought.finish_reason == "stop" and thought.generated_tokens < most:
            short = thought.generated_tokens < self.min_thinking_tokens
            # A model that writes nothing at all would be waited for without end.
            if waited >= self.waits and not (short and thought.generated_tokens > before):
                break
            before = thought.generated_tokens
            [thought] = await session.extend(
                [thought],
                inject=self.wait,
                drop_stop=True,
                max_tokens=most - before,
                stop=ends,
            )
            waited += 1
        return thought, waited

    def _most_thinking(self, session: Session) -> int:
        """Thinking tokens that may be spent; a budget keeps room for the answer."""
        most = self.max_thinking_tokens or session.sampling.max_tokens
        if session.left is None:
            return most
        return max(1, min(most, session.left - min(self.max_answer_tokens, session.left // 2)))

    async def _answer(self, thought: Candidate, most: int, session: Session) -> Candidate:
        """The solution: the thinking, ended by force where it must be, and the answer."""
        forced = thought.finish_reason == "length"
        turn_over = not forced and (thought.finished or thought.stop != self.end_of_thinking)
        no_room = forced and thought.generated_tokens < most  # the model's context is full
        if turn_over or no_room or session.left == 0:
            return thought
        end = (self.end_of_thinking or "") + self.answer_prompt
        [solution] = await session.extend(
            [thought],
            inject=end if forced else "",
            drop_stop=forced,
            max_tokens=self.max_answer_tokens,
            stop=session.sampling.stop,
        )
        return solution
