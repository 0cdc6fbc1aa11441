"""A model without its LM head, read at every token, that computes each distinct prefix once.

Rows with prefixes of different lengths are computed together: a row's cached keys end where all
rows' new tokens begin, so the rows are padded on both outer sides and distances are true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import transformers
from torch import Tensor, nn

from tts_bench.cost.ledger import common_prefix
from tts_bench.engine.decode import ATTENTION, attention
from tts_bench.verifier.prefixes import KeptPrefix, PrefixStore

Ids: TypeAlias = tuple[int, ...]

WORTH_WAITING = 8
"""Tokens from which a row waits for another one that computes them, rather than repeat them."""


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text that was read: the head's numbers at each token, and how many had been computed."""

    outputs: Tensor
    """[tokens, numbers], float32, on the CPU."""
    cached: int


class Reader:
    """A backbone, the head on top of it, and what they have computed.

    To be made and used in one thread, in `torch.inference_mode`.
    """

    def __init__(self, backbone: Any, head: nn.Module, store: PrefixStore) -> None:
        self.backbone, self.head, self.store = backbone, head, store
        self.device = backbone.device
        transformers.AttentionInterface.register(ATTENTION, attention)
        backbone.set_attn_implementation(ATTENTION)

    def read(self, texts: Sequence[Ids]) -> list[ReadText]:
        """The rows of these texts, from one forward pass over what is new in them."""
        known = {ids: self.store.find(ids) for ids in texts}
        todo = {ids: prefix for ids, prefix in known.items() if prefix.length < len(ids)}
        fresh = self._forward(todo) if todo else {}
        for ids, tensors in fresh.items():
            self.store.add(ids, known[ids].length, tensors)
        rows = []
        for ids in texts:
            parts = [outputs for _, outputs in known[ids].pieces]
            if ids in fresh:
                parts.append(fresh[ids][1])
            rows.append(ReadText(torch.cat(parts), known[ids].length))
        return rows

    def _forward(self, texts: Mapping[Ids, KeptPrefix]) -> dict[Ids, tuple[Tensor, Tensor]]:
        """Keys and values [layers, 2, heads, tokens, dim] and outputs of each text's new tokens."""
        new = [ids[prefix.length :] for ids, prefix in texts.items()]
        before, longest = max(p.length for p in texts.values()), max(map(len, new))
        starts = torch.tensor([p.length for p in texts.values()], device=self.device)[:, None]
        ids = [[*one, *[0] * (longest - len(one))] for one in new]
        cache: Any = self._cache(list(texts.values()), before)
        hidden = self.backbone(
            input_ids=torch.tensor(ids, device=self.device),
            position_ids=starts + torch.arange(longest, device=self.device),
            attention_mask=_mask(starts, before, longest),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        outputs = self.head(hidden).float().cpu()
        pairs = [(layer.keys, layer.values) for layer in cache.layers]
        kept = torch.stack([torch.stack([one[:, :, before:] for one in pair]) for pair in pairs])
        return {
            text: (kept[:, :, row, :, : len(one)], outputs[row, : len(one)])
            for row, (text, one) in enumerate(zip(texts, new, strict=True))
        }

    def _cache(self, prefixes: Sequence[KeptPrefix], length: int) -> transformers.DynamicCache:
        """The prefixes' keys and values, padded on the left to one length."""
        cache = transformers.DynamicCache()
        if not length:
            return cache
        like = next(p.pieces[0][0] for p in prefixes if p.pieces)
        layers, two, heads, _, dimension = like.shape
        buffer = like.new_zeros(layers, two, len(prefixes), heads, length, dimension)
        for row, prefix in enumerate(prefixes):
            at = length - prefix.length
            for piece, _ in prefix.pieces:
                buffer[:, :, row, :, at : at + piece.shape[-2]] = piece
                at += piece.shape[-2]
        for index, (keys, values) in enumerate(buffer):
            cache.update(keys, values, index)
        return cache

    def deviation(self) -> float:
        """How far this is from the model's own forward pass, on a few tokens.

        The largest difference of an output's sigmoid (one number) or softmax (two); 0 is none.
        """
        vocabulary = self.backbone.get_input_embeddings().num_embeddings
        texts = [tuple(i % vocabulary for i in ids) for ids in (range(1, 25), range(3, 12))]
        self.read([texts[0][:7], texts[1][:4]])
        ours = [row.outputs for row in self.read(texts)]
        self.store.clear()
        self.backbone.set_attn_implementation("eager")
        try:
            own = [
                self.head(self.backbone(torch.tensor([ids], device=self.device)).last_hidden_state)[
                    0
                ]
                .float()
                .cpu()
                for ids in texts
            ]
        finally:
            self.backbone.set_attn_implementation(ATTENTION)
        pairs = zip(ours, own, strict=True)
        return max(float((_share(a) - _share(b)).abs().max()) for a, b in pairs)


def ready(texts: Sequence[Ids], store: PrefixStore, waited: dict[Ids, int]) -> list[int]:
    """Which of the texts to compute now, those with the most new tokens first.

    A text waits where another one of them computes tokens that it needs as well; `waited` notes
    how much of it was known. Where that has not grown the store is too small, and it goes on.
    """
    chosen: list[tuple[int, int]] = []
    last: Ids = ()
    for i in sorted(range(len(texts)), key=lambda i: texts[i]):
        ids = texts[i]
        known = store.known(ids)
        # In this order no text shares more with `ids` than the last one chosen before it.
        if common_prefix(last, ids) - known >= WORTH_WAITING and waited.get(ids, -1) < known:
            waited[ids] = known
        else:
            waited.pop(ids, None)
            chosen.append((len(ids) - known, i))
            last = ids
    return [i for _, i in sorted(chosen, reverse=True)]


def batches(texts: Sequence[Ids], store: PrefixStore, slots: int) -> list[list[Ids]]:
    """Cut texts, in order, into batches of at most `slots` tokens, padded and cached ones too."""
    cut: list[list[Ids]] = []
    before = longest = 0
    for ids in texts:
        known = store.known(ids)
        before, longest = max(before, known), max(longest, len(ids) - known)
        if not cut or (before + longest) * (len(cut[-1]) + 1) > slots:
            cut.append([])
            before, longest = known, len(ids) - known
        cut[-1].append(ids)
    return cut


def _mask(starts: Tensor, before: int, new: int) -> Tensor:
    """[rows, 1, new, before + new]: a token sees its row's prefix and what is new up to itself."""
    slots = torch.arange(before + new, device=starts.device)
    prefix = (slots >= before - starts)[:, None, None]
    causal = slots <= before + torch.arange(new, device=starts.device)[:, None]
    return prefix & causal


def _share(outputs: Tensor) -> Tensor:
    return outputs.softmax(-1) if outputs.shape[-1] > 1 else outputs.sigmoid()
