// pg-boss with batches of 500, fetched without a pause while they come back full, by two workers. Times the workers
// from their start until no job is open in the database.
import { PgBoss } from "pg-boss";

const jobs = Number(process.env.BENCH_JOBS);
const { PGHOST: host, PGDATABASE: database, PGUSER: user } = process.env;
const boss = new PgBoss({ host, database, user, port: 5432, max: 10 });
boss.on("error", (error) => { console.error(error); process.exit(1); });
await boss.start();
await boss.createQueue("nothing");
for (let first = 0; first < jobs; first += 5000) {
  const count = Math.min(5000, jobs - first);
  await boss.insert("nothing", Array.from({ length: count }, () => ({ data: {} })));
}
const db = boss.getDb();
await db.executeSql("vacuum analyze");

let done = 0;
const began = performance.now();
await boss.work(
  "nothing",
  { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true, localConcurrency: 2 },
  async (batch) => { done += batch.length; },
);
const open = "select exists (select from pgboss.job where name = 'nothing' and state < 'completed') as left";
for (;;) {
  // The last batch is looked for in the table only when every handler has run: looking costs too.
  if (done >= jobs && !(await db.executeSql(open)).rows[0].left) break;
  await new Promise((resolve) => setTimeout(resolve, 10));
}
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ jobs: done, seconds }));
process.exit(0);
