"""Particle filtering: solutions are resampled after every step, by what the verifier thinks."""

import random
from dataclasses import dataclass
from typing import Literal

from tts_bench import Node, Search, StepSearch

SURE = 1e-6
"""Probabilities nearer to 0 or 1 than this are taken for this: their odds must be finite."""


@dataclass(frozen=True)
class ParticleFilter(StepSearch):
    """Sequential Monte Carlo over steps (Puri et al. 2025, 2502.01618, algorithm 1).

    A particle's weight is the softmax of its log-odds, that is, its odds s / (1 - s), where s
    is the verifier's score of the solution so far. What has ended is resampled too, until all
    have; then no more. The candidates are the particles: of two that are copies both are there.
    """

    resampling: Literal["multinomial", "systematic"] = "multinomial"
    """Independent draws, or one for all, so that copies differ from N x weight by less than 1."""

    async def grow(self, search: Search) -> None:
        particles = await search.judge(await search.first(self.n))
        search.hold(particles)
        while any(particle.open for particle in particles):
            resample = multinomial if self.resampling == "multinomial" else systematic
            weights = [odds(particle.score.value) for particle in particles]
            particles = resample(particles, weights, search.session.rng)
            moving = [particle for particle in particles if particle.open]
            if moving:
                steps = iter(await search.judge(await search.extend(moving)))
                particles = [next(steps, p) if p.open else p for p in particles]
            search.hold(particles)


def odds(score: float) -> float:
    """Odds p / (1 - p) of a probability. Raises ValueError if it is not between 0 and 1."""
    if not 0 <= score <= 1:
        raise ValueError(f"particle_filter needs scores between 0 and 1, not {score}")
    sure = min(max(score, SURE), 1 - SURE)
    return sure / (1 - sure)


def multinomial(particles: list[Node], weights: list[float], rng: random.Random) -> list[Node]:
    """As many particles, each drawn by the weights."""
    return rng.choices(particles, weights, k=len(particles))


def systematic(particles: list[Node], weights: list[float], rng: random.Random) -> list[Node]:
    """As many particles, drawn at equal distances along the weights from one random start."""
    n, total = len(particles), sum(weights)
    pointer = rng.random()
    drawn: list[Node] = []
    upto = 0.0
    for particle, weight in zip(particles, weights, strict=True):
        upto += weight / total * n
        while pointer < upto and len(drawn) < n:
            drawn.append(particle)
            pointer += 1
    return drawn + particles[-1:] * (n - len(drawn))  # lost to rounding errors
