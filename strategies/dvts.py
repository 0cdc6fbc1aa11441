"""DVTS: several small beam searches side by side, none of which can crowd out another."""

from dataclasses import dataclass

from tts_bench import Search, StepSearch, top


@dataclass(frozen=True)
class DVTS(StepSearch):
    """Diverse verifier tree search: N/M subtrees, each going on from its best step alone.

    After Beeching, Tunstall and Rush 2024 ("Scaling test-time compute with open models"). There
    a subtree stops when its best step ends the solution, and its M last steps are returned,
    ended or not. Here what has ended keeps its place and the best of the others goes on, so
    that all N candidates are whole solutions.
    """

    beam_width: int = 4
    """M, the steps that each subtree draws and chooses from; there are N/M subtrees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_width < 1:
            raise ValueError(f"beam_width must be at least 1, not {self.beam_width}")
        if self.n > 1 and self.n % self.beam_width:
            raise ValueError(f"n={self.n} must be a multiple of beam_width={self.beam_width}, or 1")

    async def grow(self, search: Search) -> None:
        width = min(self.beam_width, self.n)
        steps = await search.judge(await search.first(self.n))
        subtrees = [steps[i : i + width] for i in range(0, len(steps), width)]
        while True:
            search.hold([node for subtree in subtrees for node in subtree])
            ended = [[node for node in subtree if not node.open] for subtree in subtrees]
            best = [top([node for node in subtree if node.open], 1) for subtree in subtrees]
            parents = [
                node
                for done, kept in zip(ended, best, strict=True)
                for node in kept * (width - len(done))
            ]
            if not parents:
                return
            steps = await search.judge(await search.extend(parents))
            subtrees = [
                done + [step for step in steps if search.parent(step) in kept]
                for done, kept in zip(ended, best, strict=True)
            ]
