"""MCTS: simulations walk down a tree of steps, each choosing with what the others have found."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tts_bench import Candidate, Node, Sampling, Score, Search, StepSearch, distinct


@dataclass
class Branch:
    """A place in the tree, and what the simulations that passed it have found."""

    node: Node | None
    """None for the root."""
    prior: float = 1.0
    visits: int = 0
    total: float = 0.0
    """Sum of the values of the solutions found below."""
    closed: bool = False
    """Whether every solution below has been found; it is not visited again."""
    children: list["Branch"] = field(default_factory=list)

    @property
    def value(self) -> float:
        """Mean of the values found below and of its own score."""
        own = self.node.score.value if self.node else 0.0
        return (own + self.total) / (1 + self.visits)

    @property
    def grows(self) -> bool:
        """Whether steps are to be drawn here."""
        return not self.children and (self.node is None or self.node.open)


@dataclass(frozen=True)
class MCTS(StepSearch):
    """Monte Carlo tree search with PUCT (Silver et al. 2017; over steps: Feng et al. 2309.17179).

    A simulation walks from the root to the end of a solution. At each place it takes the step
    of highest `Q + c P sqrt(visits of the place) / (1 + visits of the step)`; where there are
    no steps yet, it draws some. Q is the mean of the values found below a step and of the
    step's own, P its probability under the policy (per token) among its siblings. The value of
    the solution is added all the way up. A solution is found once: it never votes again.

    With `value: confidence` no verifier is asked and the policy's probability per token takes
    its place. That is an anti-pattern, here to be measured: the search then finds what the
    policy would have written anyway, and pays much more for it.
    """

    needs: ClassVar = ("exact_tokens", "logprobs", "scores")

    n: int = 16
    """Simulations; each finds one solution."""
    children: int = 4
    """Steps that are drawn at each place; twins count as one."""
    exploration: float = 1.25
    """c of PUCT; for values between 0 and 1."""
    value: Literal["verifier", "confidence"] = "verifier"
    """What a step is worth."""
    parallel: int = 1
    """Simulations at once. Each counts its visits on its way down and its value at its end, so
    that the others look elsewhere meanwhile; the more, the less they learn from each other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("children", "parallel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.exploration < math.inf:
            raise ValueError(f"exploration must be 0 or more, not {self.exploration}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        most = super().most_tokens(sampling)
        return None if most is None else most * self.children

    def likely_tokens(self, sampling: Sampling) -> tuple[float, float] | None:
        """From one solution a simulation to one for each child that it tries on the way."""
        tokens = float(self.n * sampling.max_tokens)
        return tokens, tokens * self.children

    async def grow(self, search: Search) -> None:
        root = Branch(None)
        solutions: list[Node] = []
        begun = 0
        while begun < self.n and not root.closed:
            paths = [[root] for _ in range(min(self.parallel, self.n - begun))]
            begun += len(paths)
            root.visits += len(paths)
            while paths:
                for path in paths:
                    self._descend(path)
                    if not path[-1].grows:
                        solutions += back_up(path)
                paths = [path for path in paths if path[-1].grows]
                if paths:
                    steps = await self._expand([path[-1] for path in paths], search)
                search.hold(solutions or steps)

    def _descend(self, path: list[Branch]) -> None:
        """Walk on to where there are no steps yet, or nothing more to find."""
        while steps := [step for step in path[-1].children if not step.closed]:
            here = path[-1]
            path.append(max(steps, key=lambda step: self.puct(here, step)))
            path[-1].visits += 1

    def puct(self, place: Branch, step: Branch) -> float:
        """How much a step attracts a simulation that has come to the place."""
        wonder = step.prior * math.sqrt(place.visits) / (1 + step.visits)
        return step.value + self.exploration * wonder

    async def _expand(self, leaves: list[Branch], search: Search) -> list[Node]:
        """Draw steps at each leaf, all in one call."""
        places = {leaf.node.candidate.id if leaf.node else None: leaf for leaf in leaves}
        nodes = [leaf.node for leaf in places.values() if leaf.node]
        if nodes:
            drawn = await search.extend([node for node in nodes for _ in range(self.children)])
        else:
            drawn = await search.first(self.children)
        families = [distinct(one for one in drawn if one.parent == place) for place in places]
        steps = await self._judge([one for family in families for one in family], search)
        following = iter(steps)
        for leaf, family in zip(places.values(), families, strict=True):
            likely = [likelihood(one, leaf.node) for one in family]
            leaf.children = [
                Branch(next(following), prior=share / math.fsum(likely)) for share in likely
            ]
        return steps

    async def _judge(self, drawn: list[Candidate], search: Search) -> list[Node]:
        if self.value == "verifier":
            return await search.judge(drawn)
        return search.add(drawn, [Score(math.exp(one.mean_logprob)) for one in drawn])


def likelihood(step: Candidate, parent: Node | None) -> float:
    """Probability per token (geometric mean) of what the step adds, under the policy."""
    above = parent.candidate if parent else None
    tokens = step.generated_tokens - (above.generated_tokens if above else 0)
    logprob = step.logprob - (above.logprob if above else 0.0)
    return math.exp(logprob / max(tokens, 1))


def back_up(path: list[Branch]) -> list[Node]:
    """Note the value of the solution at the end of a path all along it; returns the solution.

    Where another simulation has taken the last solution below, there is none, and the path's
    visits are taken back.
    """
    end = path[-1]
    if end.closed or end.children or end.node is None:
        for place in path:
            place.visits -= 1
        return []
    end.closed = True
    for place in path:
        place.total += end.node.score.value
    for place in reversed(path[:-1]):
        place.closed = all(step.closed for step in place.children)
    return [end.node]
