// graphile-worker with its documented fast settings (worker.graphile.org/docs/performance): a local queue of 500 and
// batched completion. Times the workers from their start until no job is left in the database.
import { Logger, run, makeWorkerUtils } from "graphile-worker";
import pg from "pg";

const jobs = Number(process.env.BENCH_JOBS);
const pool = new pg.Pool({ max: 10 });
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ pgPool: pool, logger });
await utils.migrate();
for (let first = 0; first < jobs; first += 5000) {
  const count = Math.min(5000, jobs - first);
  await utils.addJobs(Array.from({ length: count }, () => ({ identifier: "nothing", payload: {} })));
}
await pool.query("vacuum analyze graphile_worker._private_jobs");

const began = performance.now();
const runner = await run({
  pgPool: pool,
  logger,
  noHandleSignals: true,
  taskList: { nothing: () => {} },
  preset: {
    worker: {
      concurrentJobs: 24,
      maxPoolSize: 10,
      localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
while ((await pool.query("select exists (select from graphile_worker._private_jobs) as left")).rows[0].left) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ jobs, seconds }));
await runner.stop();
await pool.end();
process.exit(0);
