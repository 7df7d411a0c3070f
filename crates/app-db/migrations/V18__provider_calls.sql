set local lock_timeout = '5s';
-- What a processor's latest calls of a provider took, beside the middle that latency_ms is: what all but one in twenty
-- took at most; and how many it made each second of the last minute. Null: nothing to tell yet, or an older processor.
alter table provider_states add column latency_p95_ms real, add column calls_per_s real;
