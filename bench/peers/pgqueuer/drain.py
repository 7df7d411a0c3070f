"""pgqueuer with batches of 500 on asyncpg and uvloop, in its drain mode. Times the worker from its start until no
job is left in the database."""

import asyncio
import json
import os
import time

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.domain.types import QueueExecutionMode
from pgqueuer.queries import Queries

JOBS = int(os.environ["BENCH_JOBS"])


async def main() -> None:
    async with asyncpg.create_pool(min_size=2, max_size=8) as pool:
        driver = AsyncpgPoolDriver(pool)
        queries = Queries(driver)
        await queries.install()
        for first in range(0, JOBS, 5000):
            count = min(5000, JOBS - first)
            await queries.enqueue(["nothing"] * count, [None] * count, [0] * count)
        await pool.execute("vacuum analyze pgqueuer")

        pgq = PgQueuer(driver)

        @pgq.entrypoint("nothing")
        async def nothing(job) -> None:
            return None

        began = time.perf_counter()
        await pgq.qm.run(batch_size=500, mode=QueueExecutionMode.drain)
        seconds = time.perf_counter() - began
        left = await pool.fetchval("select count(*) from pgqueuer")
        print(json.dumps({"jobs": JOBS - left, "seconds": seconds}))


uvloop.run(main())
