-- A message that a provider accepted and whose delivery is to be confirmed is `retry`, with the delivery that receipts
-- report so far. Only widened, as in V11, and alone: it waits for every partition.
set local lock_timeout = '5s';
alter table messages
    drop constraint messages_check,
    add constraint messages_check check (case status_tag
        when 'outbox' then delivery_tag = 'none'
        when 'retry' then delivery_tag in ('none', 'unknown', 'pending', 'sent')
        when 'failed' then delivery_tag = 'none'
        else delivery_tag <> 'none'
    end) not valid;
