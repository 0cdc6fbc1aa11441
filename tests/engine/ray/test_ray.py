"""Engine `ray` on a real Ray of two nodes, with a light actor in place of vLLM's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import light_actor
import psutil
import pytest
from light_actor import (
    CANCELLED,
    DIES,
    EXITS,
    HANGS,
    INFO,
    RAISES,
    REFUSED,
    VARIABLE,
    LightActor,
    asked,
)
from ray_clusters import ENGINE, NO_RAY, RayNodes
from server_process import free_port
from waiting import until, until_told

from tts_bench.engine.ray.cluster import RayCluster, fitting, said
from tts_bench.engine.ray.engine import RayEngine
from tts_bench.engine.ray.pool import ReplicaLost
from tts_bench.engine.ray.replica import RayLauncher
from tts_bench.errors import EngineError, MissingExtra, ModelError

pytest.importorskip("ray", reason=NO_RAY)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def nodes(ray_nodes: RayNodes, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayNodes]:
    """The cluster, with light actors; every test leaves it as empty as it was."""
    light_actor.replace_actor(monkeypatch.setattr)
    yield ray_nodes
    asyncio.run(all_free(ray_nodes))


async def all_free(nodes: RayNodes) -> None:
    """Return once nothing is set aside in the cluster."""
    cluster = RayCluster(nodes.address)

    async def is_free() -> bool:
        return await cluster.room({ENGINE: 1, "CPU": 1}) == 2

    await cluster.connect()
    try:
        await until_told(is_free)
    finally:
        await cluster.disconnect()


def run(engine: RayEngine, work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What the work returns while the engine is open, and what the user was told."""
    told: list[str] = []
    object.__setattr__(engine, "say", told.append)

    async def go() -> Any:
        await engine.start()
        try:
            return await work()
        finally:
            await engine.close()

    return asyncio.run(go()), told


def test_requests_are_answered_by_replicas_on_both_nodes_and_all_is_freed(nodes):
    engine = nodes.engine()

    async def work():
        assert engine.info.identity == INFO.identity.replace("|m|", f"|{engine.model}|")
        assert engine.tokenizer.encode("a") == (97,)
        done = await engine.generate_all([asked(seed) for seed in range(100)])
        import ray

        places = {node["NodeID"] for node in ray.nodes() if ENGINE in node["Resources"]}
        return done, places, await RayCluster(nodes.address).room({ENGINE: 1})

    (done, places, room), told = run(engine, work)
    assert [one.text for one in done] == [str(seed) for seed in range(100)]
    assert (len(places), room, told) == (2, 0, [])


def test_memory_can_be_set_aside_as_ray_calls_it(nodes):
    engine = nodes.engine(replicas=1, resources={ENGINE: 1.0, "memory": 1e8})
    assert run(engine, lambda: engine.generate(asked(4)))[0].text == "4"


def test_auto_takes_one_replica_for_each_machine_without_gpus(nodes):
    engine = nodes.engine(replicas="auto", cpus_per_replica=0.25, resources={ENGINE: 0.25})

    async def work():
        return await RayCluster(nodes.address).room({ENGINE: 0.25})

    assert run(engine, work)[0] == 6


def test_errors_of_one_request_are_its_own_and_come_as_they_were(nodes):
    engine = nodes.engine()

    async def work():
        calls = (engine.generate(asked(seed)) for seed in (1, REFUSED, RAISES, 2))
        return await asyncio.gather(*calls, return_exceptions=True)

    (one, refused, raised, two), told = run(engine, work)
    assert (one.text, two.text, told) == ("1", "2", [])
    assert (type(refused), str(refused)) == (EngineError, "the prompt is empty")
    assert type(raised) is EngineError
    assert "second" in str(raised)
    assert "\n" not in str(raised)


def test_a_cancelled_call_is_cancelled_in_the_actor(nodes):
    engine = nodes.engine(replicas=1)

    async def work():
        task = asyncio.create_task(engine.generate(asked(HANGS)))
        await engine.generate(asked(1))  # by then the one before has begun
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def is_cancelled() -> bool:
            return (await engine.generate(asked(CANCELLED))).text == "1"

        await until_told(is_cancelled)

    run(engine, work)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (DIES, "its engine died: EngineDeadError: the core is gone"),
        (EXITS, "its worker process has died"),
    ],
)
def test_a_replica_whose_engine_or_process_is_gone_is_lost(nodes, how, why):
    async def go():
        cluster = RayCluster(nodes.address)
        await cluster.connect()
        try:
            launch = RayLauncher(LightActor, "m", {"options": {}}, {"CPU": 1.0, ENGINE: 1.0})
            replica = await launch(None, lambda: None)
            with pytest.raises(ReplicaLost) as caught:
                await replica.generate(asked(how))
            replica.kill()
        finally:
            await cluster.disconnect()
        return str(caught.value)

    assert asyncio.run(go()) == why


def test_a_node_that_is_killed_costs_nothing_and_another_one_takes_its_place(nodes):
    engine = nodes.engine()

    async def work():
        pool = engine.__dict__["_running"].placed.pool
        # On both nodes, for their prompts begin differently.
        hang = [replace(asked(HANGS), prompt_ids=(number,) * 64) for number in range(4)]
        hanging = [asyncio.create_task(engine.generate(request)) for request in hang]
        await engine.generate_all([asked(seed) for seed in range(4)])
        nodes.kill_one()
        await until(lambda: len(pool.replicas) == 1)
        done = await engine.generate_all([asked(seed) for seed in range(20)])
        nodes.add()
        await until(lambda: len(pool.replicas) == 2)
        pending = [task for task in hanging if not task.done()]
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return done, len(pending)

    (done, pending), told = run(engine, work)
    assert [one.text for one in done] == [str(seed) for seed in range(20)]
    assert pending == 4
    assert len(told) == 2
    assert told[0].startswith("a replica is lost (")
    assert told[0].endswith("its requests go elsewhere (1 of 2 left)")
    assert told[1].startswith("a replica was started anew on ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refuses": 1}, f"on {socket.gethostname()}: no model folder at /m"),
        ({"raises": 1}, "No module named 'tts_bench'"),
        ({"exits": 1}, "a replica was lost while it was started"),
        ({"version": "0.0.1"}, "has tts-bench 0.0.1, and here it is"),
    ],
)
def test_a_replica_that_cannot_start_is_one_line(nodes, options, message):
    with pytest.raises(ModelError) as caught:
        asyncio.run(nodes.engine(options=options).start())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_replicas_are_one_line_and_said_while_it_waits(nodes):
    engine, told = nodes.engine(replicas=3, patience=1.0), []
    object.__setattr__(engine, "say", told.append)
    with pytest.raises(ModelError, match="no room for a replica: each takes 1 CPU, 1 engine"):
        asyncio.run(engine.start())
    assert told == [
        "the Ray cluster has room for 2 of 3 replicas (1 CPU, 1 engine of one machine each);"
        " waiting up to 1 s"
    ]


def test_variables_that_decide_what_is_drawn_go_to_the_replicas(nodes, monkeypatch):
    monkeypatch.setenv("VLLM_OF_A_TEST", "seen")
    engine = nodes.engine(replicas=1)
    done, _ = run(engine, lambda: engine.generate(asked(VARIABLE)))
    assert done.text == "seen"


def test_a_driver_that_is_killed_leaves_no_actor_in_the_cluster(nodes):
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT / "tests" / "support")!r})
import light_actor
from tts_bench.engine.ray.engine import RayEngine
light_actor.replace_actor()
engine = RayEngine(
    model="m", address={nodes.address!r}, replicas=2, resources={{"engine": 1.0}}
)
async def go():
    await engine.start()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(go())
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        driver.kill()
    asyncio.run(all_free(nodes))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_ray_that_was_started_here_ends_with_its_process(number):
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT / "tests" / "support")!r})
import light_actor
from tts_bench.concurrency.signals import run_until_told
from tts_bench.engine.ray.engine import RayEngine
light_actor.replace_actor()
engine = RayEngine(model="m", replicas=1)
async def go():
    await engine.start()
    print("ready", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await engine.close()
run_until_told(go)
"""
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        text=True,
    ) as driver:
        assert driver.stdout is not None
        assert driver.stderr is not None
        assert driver.stdout.readline() == "ready\n"
        children = [
            child
            for child in psutil.Process(driver.pid).children(recursive=True)
            # After a kill Ray's own agents look for their raylet for a minute before they end.
            if number != signal.SIGKILL or not child.name().endswith("Agent")
        ]
        assert any("LightActor" in child.name() for child in children)
        driver.send_signal(number)
        assert driver.stderr.read().strip().split("\n")[-1] in ("", "KeyboardInterrupt")
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_another_ray_of_the_same_process_is_refused(nodes):
    async def go():
        cluster = RayCluster(nodes.address)
        await cluster.connect()
        try:
            await RayCluster("10.0.0.1:6379").connect()
        finally:
            await cluster.disconnect()

    with pytest.raises(ModelError, match="this process is connected to the Ray at"):
        asyncio.run(go())


def test_two_engines_share_a_connection_and_the_last_one_ends_it(nodes):
    import ray

    async def go():
        first, second = nodes.engine(replicas=1), nodes.engine(replicas=1)
        await first.start()
        await second.start()
        await first.close()
        done = await second.generate(asked(7))
        await second.close()
        return done, ray.is_initialized()

    done, left = asyncio.run(go())
    assert (done.text, left) == ("7", False)


def test_a_ray_that_was_connected_before_stays_connected(nodes):
    import ray

    ray.init(address=nodes.address, log_to_driver=False)
    try:
        engine = nodes.engine(address="auto", replicas=1)
        done, _ = run(engine, lambda: engine.generate(asked(3)))
        assert done.text == "3"
        assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "is none of: auto, host:port, ray://host:port"),
        ("somewhere", "is none of: auto, host:port, ray://host:port"),
        ("http://host:8265", "is none of: auto, host:port, ray://host:port"),
        ("host:port", "is none of: auto, host:port, ray://host:port"),
        ("host:99999", "is none of: auto, host:port, ray://host:port"),
        ("127.0.0.1:{port}", "nobody answers at address "),
        ("ray://127.0.0.1:{port}", "nobody answers at address "),
    ],
)
def test_a_wrong_address_is_one_line(address, message):
    address = address.format(port=free_port())
    with pytest.raises(ModelError, match=message) as caught:
        asyncio.run(RayEngine(model="m", address=address).start())
    assert "\n" not in str(caught.value)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'tts-bench\[ray\]'"):
        asyncio.run(RayEngine(model="m").start())


def test_the_key_of_its_settings_is_that_of_vllm_wherever_the_replicas_are():
    from tts_bench.engine.vllm import VLLMEngine

    inner = {"model": "m", "dtype": "bfloat16", "options": {"kv_cache_dtype": "fp8"}}
    key = RayEngine(**inner, address="auto", replicas=3, patience=1.0).settings_key()
    assert key == VLLMEngine(**inner).settings_key()
    assert key != RayEngine(model="n").settings_key()


@pytest.mark.parametrize(
    ("free", "bundle", "most", "expected"),
    [
        ([{"CPU": 2.0}], {"CPU": 1.0}, None, 2),
        ([{"CPU": 2.0}, {"CPU": 8.0}], {"CPU": 1.0}, 1, 2),
        ([{"CPU": 64.0, "GPU": 8.0}, {"CPU": 64.0}], {"CPU": 1.0, "GPU": 2.0}, None, 4),
        ([{"CPU": 64.0, "GPU": 3.0}] * 2, {"CPU": 1.0, "GPU": 2.0}, None, 2),
        ([{"CPU": 0.3}], {"CPU": 0.1}, None, 3),
        ([], {"CPU": 1.0}, None, 0),
    ],
)
def test_what_fits(free, bundle, most, expected):
    assert fitting(free, bundle, most) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "The actor died.\n\tpid: 3\nThe actor is dead because its node has died. Node Id: 1",
            "its node has died",
        ),
        (
            "a\nThe actor is dead because it was killed by `ray.kill`.",
            "it was killed by `ray.kill`",
        ),
        (
            "a\nThe actor is dead because its worker process has died. Worker exit type: SYSTEM"
            " Worker exit detail: Some common causes include: out of memory",
            "its worker process has died",
        ),
        (
            "a\nThe actor is dead because its worker process has died. Worker exit type:"
            " NODE_OUT_OF_MEMORY Worker exit detail: it was low on memory",
            "its worker process has died (the machine is short of memory)",
        ),
        (
            "The actor 51b1 is unavailable: The actor is temporarily unavailable: RpcError",
            "its process or its machine cannot be reached",
        ),
        ("\x1b[36mray::A\x1b[39m\n  line\nValueError: no\n", "ValueError: no"),
        ("", "Exception"),
    ],
)
def test_what_ray_says_is_one_line(text, expected):
    assert said(Exception(text)) == expected
