-- Control table: one row. Which part of the messages has been searched for the provider's ids of parked receipts, and
-- when the last search began: processors take turns. No index names a provider's id, because settles write it; parked
-- receipts are therefore looked up all at once, in pieces of the messages by their ids.
create table parked_receipt_search (
    singleton  boolean     primary key default true check (singleton),
    begun_at   timestamptz not null default '-infinity',
    -- The pass over all messages, from the newest to the oldest: ids below this are still to be searched. Null: no pass
    -- is under way.
    pass_below uuid,
    -- When that pass began.
    pass_at    timestamptz not null default '-infinity'
);
insert into parked_receipt_search default values;
