"""What has been said changes what is said next: penalties, and words that must not be.

Counts and last tokens of a batch's rows are kept on the device and brought up to date with each
step's tokens, all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError
from tts_bench.types import Sampling

_ANY, _NONE = -1, -2
"""In place of a token: one that matches all, and one that was not there."""


@dataclass(frozen=True, slots=True)
class Said:
    """What stood before a row's next token, and how the row draws."""

    sampling: Sampling
    prompt_ids: Sequence[int]
    token_ids: Sequence[int]
    bad_words: tuple[tuple[int, ...], ...]

    @property
    def is_punished(self) -> bool:
        """Whether tokens that have been said are less likely, or more, than the model has it."""
        one = self.sampling
        return bool(one.presence_penalty or one.frequency_penalty or one.repetition_penalty != 1)


def bad_word_ids(words: Sequence[str], tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Each word in tokens, as it begins a text and as it stands within one, as vLLM spells it.

    Raises EngineError for a word that is no token.
    """
    found: list[tuple[int, ...]] = []
    for word in words:
        plain = tuple(tokenizer.encode(word.lstrip()))
        if not plain:
            raise EngineError(f"bad_words: {word!r} is no token")
        found.append(plain)
        within = tuple(tokenizer.encode(f" {word.lstrip()}"))
        if within and within[0] != plain[0] and len(within) == len(plain):
            found.append(within)
    return tuple(found)


class Past:
    """The past of a batch's rows; `changed` before a draw, `note` after it."""

    def __init__(self, rows: Sequence[Said], vocabulary: int, device: torch.device) -> None:
        self._penalties = _Penalties(rows, vocabulary, device)
        self._words = _BadWords(rows, vocabulary, device)

    @classmethod
    def of(cls, rows: Sequence[Said], vocabulary: int, device: torch.device) -> Past | None:
        """None if no row's past matters."""
        if any(row.is_punished or row.bad_words for row in rows):
            return cls(rows, vocabulary, device)
        return None

    def changed(self, logits: Tensor) -> Tensor:
        """A copy of the logits [rows, vocabulary], float32, by which tokens are drawn."""
        own = logits.clone()
        self._words.forbid(own)
        self._penalties.apply(own)
        return own

    def note(self, tokens: Tensor) -> None:
        """Add the tokens [rows] that were drawn."""
        self._words.note(tokens)
        self._penalties.note(tokens)


class _Penalties:
    """Counts of tokens: in the prompt whether they are there, in the output how often."""

    def __init__(self, rows: Sequence[Said], vocabulary: int, device: torch.device) -> None:
        punished = [(at, row) for at, row in enumerate(rows) if row.is_punished]
        self.at = torch.tensor([at for at, _ in punished], dtype=torch.int64, device=device)
        shape = (len(punished), vocabulary)
        self.prompt = torch.zeros(shape, dtype=torch.bool, device=device)
        self.output = torch.zeros(shape, dtype=torch.float32, device=device)
        for place, (_, row) in enumerate(punished):
            ids = torch.tensor(row.prompt_ids, dtype=torch.int64, device=device)
            self.prompt[place, ids] = True
            said = torch.tensor(row.token_ids, dtype=torch.int64, device=device)
            self.output[place] = torch.bincount(said, minlength=vocabulary)

        def column(name: str) -> Tensor:
            values = [getattr(row.sampling, name) for _, row in punished]
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None]

        self.repetition = column("repetition_penalty")
        self.frequency = column("frequency_penalty")
        self.presence = column("presence_penalty")

    def apply(self, logits: Tensor) -> None:
        if not len(self.at):
            return
        own, is_said = logits[self.at], self.output > 0
        punished = torch.where(own > 0, own / self.repetition, own * self.repetition)
        own = torch.where(self.prompt | is_said, punished, own)
        own -= self.frequency * self.output
        own -= self.presence * is_said
        logits[self.at] = own

    def note(self, tokens: Tensor) -> None:
        if len(self.at):
            drawn = tokens[self.at][:, None]
            self.output.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float32))


class _BadWords:
    """A word's last token is forbidden where its others are the last ones of the output."""

    def __init__(self, rows: Sequence[Said], vocabulary: int, device: torch.device) -> None:
        words = [
            (at, ids)
            for at, row in enumerate(rows)
            for ids in row.bad_words
            if max(ids) < vocabulary  # others the model cannot write anyway
        ]
        longest = max((len(ids) for _, ids in words), default=1) - 1
        begun = [[_ANY] * (longest + 1 - len(ids)) + list(ids[:-1]) for _, ids in words]
        last = [([_NONE] * longest + list(row.token_ids))[-longest or None :] for row in rows]

        def table(values: Sequence[object], *shape: int) -> Tensor:
            return torch.tensor(values, dtype=torch.int64, device=device).reshape(shape)

        self.at = table([at for at, _ in words], len(words))
        self.ends = table([ids[-1] for _, ids in words], len(words))
        self.begun = table(begun, len(words), longest)
        self.last = table(last if longest else [], len(rows), longest)

    def forbid(self, logits: Tensor) -> None:
        if not len(self.at):
            return
        alike = (self.begun == self.last[self.at]) | (self.begun == _ANY)
        found = alike.all(dim=-1)
        logits[self.at[found], self.ends[found]] = -torch.inf

    def note(self, tokens: Tensor) -> None:
        self.last = torch.cat([self.last, tokens[:, None]], dim=-1)[:, 1:]
