"""A pool of replicas that are killed, refuse, hang and come back: pool logic without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from waiting import until

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.ray.pool import ReplicaLost, ReplicaPool
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.types import Sampling

INFO = EngineInfo("fake 1", "m", "r", "float32", 100, None)
MINE = 5
"""Seed of a request that a fake replica refuses."""


def asked(seed: int, beginning: int = 0) -> Request:
    return Request((beginning,) * 64, Sampling(4), seed)


def answer(request: Request) -> Completion:
    return Completion((request.seed,), str(request.seed), -1.0, "length")


@dataclass(eq=False)
class Fake:
    """A replica that answers when it is let, and whose requests break off when it is killed."""

    number: int
    let: asyncio.Event
    info: EngineInfo = INFO
    seen: list[Request] = field(default_factory=list)
    cancelled: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    killed: bool = False

    @property
    def where(self) -> str:
        return f"node{self.number}"

    async def generate(self, request: Request) -> Completion:
        self.seen.append(request)
        dying = asyncio.create_task(self.dead.wait())
        letting = asyncio.create_task(self.let.wait())
        try:
            await asyncio.wait({dying, letting}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            dying.cancel()
            letting.cancel()
        if self.dead.is_set():
            raise ReplicaLost("node failure")
        if request.seed == MINE:
            raise EngineError("too long")
        return answer(request)

    def kill(self) -> None:
        self.killed = True
        self.dead.set()


class World:
    """Launches fakes, while there is room."""

    def __init__(self, infos: Callable[[int], EngineInfo] = lambda _: INFO) -> None:
        self.fakes: list[Fake] = []
        self.let = asyncio.Event()
        self.let.set()
        self.room = asyncio.Event()
        self.room.set()
        self.failures = 0
        """Launches that will fail from now on."""
        self.said: list[str] = []
        self._infos = infos

    async def launch(self, patience: float | None, placed: Callable[[], None]) -> Fake:
        try:
            async with asyncio.timeout(patience):
                await self.room.wait()
        except TimeoutError as error:
            raise ModelError("no room") from error
        placed()
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise ModelError("out of memory")
        number = len(self.fakes)
        self.fakes.append(Fake(number, self.let, self._infos(number)))
        return self.fakes[-1]

    def pool(self, patience: float = 0.05, restarts: int = 2) -> ReplicaPool:
        return ReplicaPool(self.launch, patience=patience, restarts=restarts, say=self.said.append)


def texts(done: list[Completion]) -> list[str]:
    return [one.text for one in done]


SEEDS = [seed for seed in range(20) if seed != MINE]


def test_requests_are_spread_and_answered_in_order():
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(3)
        world.let.clear()
        tasks = [asyncio.create_task(pool.generate(asked(s, beginning=s))) for s in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == len(SEEDS))
        shares = [len(fake.seen) for fake in world.fakes]
        world.let.set()
        done = await asyncio.gather(*tasks)
        await pool.close()
        return shares, done

    shares, done = asyncio.run(go())
    assert max(shares) - min(shares) <= 1
    assert texts(done) == [str(seed) for seed in SEEDS]


def test_one_problem_stays_at_one_replica_until_that_is_much_busier():
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(2)
        for seed in range(10, 20, 2):
            pair = (asked(seed, beginning=0), asked(seed + 1, beginning=1))
            await asyncio.gather(*map(pool.generate, pair))
        homes = [{one.prompt_ids[0] for one in fake.seen} for fake in world.fakes]
        world.let.clear()
        tasks = [asyncio.create_task(pool.generate(asked(seed))) for seed in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == 10 + len(SEEDS))
        world.let.set()
        await asyncio.gather(*tasks)
        await pool.close()
        return homes, [sum(one.prompt_ids[0] == 0 for one in fake.seen) for fake in world.fakes]

    homes, zeros = asyncio.run(go())
    assert sorted(map(len, homes)) == [1, 1]
    assert min(zeros) > 0


@pytest.mark.parametrize("others", [1, 3])
def test_a_lost_replica_costs_what_it_worked_on_and_is_started_anew(others):
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(1 + others)
        world.let.clear()
        tasks = [asyncio.create_task(pool.generate(asked(s, beginning=s))) for s in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == len(SEEDS))
        interrupted = list(world.fakes[0].seen)
        world.fakes[0].dead.set()
        await until(lambda: len(pool.replicas) == 1 + others and len(world.fakes) == 2 + others)
        world.let.set()
        done = await asyncio.gather(*tasks)
        elsewhere = [one for fake in world.fakes[1:] for one in fake.seen]
        await pool.close()
        return world, interrupted, elsewhere, done

    world, interrupted, elsewhere, done = asyncio.run(go())
    assert texts(done) == [str(seed) for seed in SEEDS]
    assert interrupted
    assert all(one in elsewhere for one in interrupted)
    assert world.said == [
        "a replica is lost (node0: node failure); its requests go elsewhere"
        f" ({others} of {1 + others} left)",
        f"a replica was started anew on node{1 + others} ({1 + others} of {1 + others} there)",
    ]
    assert all(fake.killed for fake in world.fakes)


def test_where_all_are_lost_requests_wait_for_the_one_that_is_started_anew():
    async def go():
        world = World()
        pool = world.pool(patience=60)
        await pool.start(2)
        world.let.clear()
        world.room.clear()
        tasks = [asyncio.create_task(pool.generate(asked(s))) for s in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == len(SEEDS))
        for fake in list(world.fakes):
            fake.dead.set()
        await until(lambda: not pool.replicas)
        world.let.set()
        world.room.set()
        done = await asyncio.gather(*tasks)
        await pool.close()
        return done

    assert texts(asyncio.run(go())) == [str(seed) for seed in SEEDS]


@pytest.mark.parametrize("restarts", [0, 2])
def test_all_lost_and_no_room_is_the_engines_death_in_one_line(restarts):
    async def go():
        world = World()
        pool = world.pool(restarts=restarts)
        await pool.start(2)
        world.let.clear()
        world.room.clear()
        tasks = [asyncio.create_task(pool.generate(asked(s))) for s in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == len(SEEDS))
        for fake in world.fakes:
            fake.dead.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await pool.close()
        return outcomes

    outcomes = asyncio.run(go())
    assert all(isinstance(one, EngineDied) for one in outcomes)
    assert {str(one) for one in outcomes} == {
        "all replicas are lost (node1: node failure)"
        + (", and for 0.05 s there was no room for another one" if restarts else "")
    }


def test_a_request_that_kills_every_replica_ends_the_pool():
    class Fragile(World):
        async def launch(self, patience, placed):
            fake = await super().launch(patience, placed)
            fake.dead.set()
            return fake

    async def go():
        world = Fragile()
        pool = world.pool(restarts=2)
        await pool.start(2)
        with pytest.raises(EngineDied, match="all replicas are lost"):
            await pool.generate(asked(1))
        await pool.close()
        return world

    world = asyncio.run(go())
    assert len(world.fakes) == 2 + 2 * 2
    assert any("the setting is `restarts`" in line for line in world.said)


def test_an_answer_lets_replicas_be_started_anew_as_often_as_at_first():
    async def go():
        world = World()
        pool = world.pool(patience=60, restarts=1)
        await pool.start(1)
        for seed in range(10, 15):
            world.fakes[-1].dead.set()
            assert (await pool.generate(asked(seed))).text == str(seed)
        await pool.close()
        return len(world.fakes)

    assert asyncio.run(go()) == 6


def test_a_replica_that_cannot_be_started_anew_is_tried_again_and_the_others_go_on():
    async def go():
        world = World()
        pool = world.pool(restarts=1)
        await pool.start(2)
        world.failures = 2
        world.fakes[0].dead.set()
        done = [await pool.generate(asked(seed)) for seed in SEEDS]
        await until(lambda: world.failures == 0)
        left = len(pool.replicas)
        await pool.close()
        return world, done, left

    world, done, left = asyncio.run(go())
    assert texts(done) == [str(seed) for seed in SEEDS]
    assert left >= 1
    assert "a replica could not be started anew: out of memory" in world.said


def test_a_refused_request_is_refused_once_and_costs_no_replica():
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(2)
        with pytest.raises(EngineError, match="too long") as caught:
            await pool.generate(asked(MINE))
        left = len(pool.replicas)
        await pool.close()
        return type(caught.value), left, sum(len(fake.seen) for fake in world.fakes)

    assert asyncio.run(go()) == (EngineError, 2, 1)


def test_cancelling_a_call_cancels_its_request():
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(1)
        world.let.clear()
        task = asyncio.create_task(pool.generate(asked(1)))
        await until(lambda: bool(world.fakes[0].seen))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.close()
        return world.fakes[0].cancelled

    assert asyncio.run(go()) == 1


def test_closing_fails_what_is_in_flight_kills_all_and_starts_nothing_anew():
    async def go():
        world = World()
        pool = world.pool()
        await pool.start(2)
        world.let.clear()
        tasks = [asyncio.create_task(pool.generate(asked(seed))) for seed in SEEDS]
        await until(lambda: sum(len(fake.seen) for fake in world.fakes) == len(SEEDS))
        await pool.close()
        settled = all(task.done() for task in tasks)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        return world, settled, outcomes

    world, settled, outcomes = asyncio.run(go())
    assert settled
    assert {str(one) for one in outcomes} == {"the engine is closed"}
    assert [fake.killed for fake in world.fakes] == [True, True]
    assert world.said == []


def test_closing_stops_what_waits_for_room():
    async def go():
        world = World()
        pool = world.pool(patience=60)
        await pool.start(1)
        world.room.clear()
        world.fakes[0].dead.set()
        task = asyncio.create_task(pool.generate(asked(1)))
        await until(lambda: not pool.replicas)
        await pool.close()
        with pytest.raises(EngineError, match="closed"):
            await task
        return len(world.fakes)

    assert asyncio.run(go()) == 1


def test_a_start_without_room_is_refused_and_kills_what_was_started():
    class One(World):
        async def launch(self, patience, placed):
            launching = asyncio.create_task(super().launch(patience, placed))
            await asyncio.sleep(0)
            self.room.clear()
            return await launching

    async def go():
        world = One()
        with pytest.raises(ModelError, match="no room"):
            await world.pool().start(3)
        return world

    fakes = asyncio.run(go()).fakes
    assert [fake.killed for fake in fakes] == [True]


def test_replicas_of_two_models_are_refused():
    async def go():
        world = World(lambda number: replace(INFO, revision=f"r{number}"))
        with pytest.raises(ModelError, match=r"node0 has .* r0 .*, and node1 has .* r1 "):
            await world.pool().start(2)
        return world

    assert all(fake.killed for fake in asyncio.run(go()).fakes)


def test_what_is_started_anew_must_be_the_same_model():
    async def go():
        world = World(lambda number: INFO if number < 2 else replace(INFO, revision="other"))
        pool = world.pool(restarts=1)
        await pool.start(2)
        world.fakes[0].dead.set()
        done = [await pool.generate(asked(seed)) for seed in SEEDS]
        seen = [len(fake.seen) for fake in world.fakes[2:]]
        await pool.close()
        return world, done, seen

    world, done, seen = asyncio.run(go())
    assert texts(done) == [str(seed) for seed in SEEDS]
    assert sum(seen) == 0
    assert any("has another model: fake 1 m other" in line for line in world.said)
