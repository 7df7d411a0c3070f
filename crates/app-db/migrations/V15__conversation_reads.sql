-- How far people have read a conversation in the console: everybody who works there shares it. A table of its own, so
-- that reading never writes to a row that messages are added under.
create table conversation_reads (
    bucket          smallint not null check (bucket between 0 and 255),
    conversation_id uuid     not null,
    -- The newest message that was shown.
    read_to         uuid     not null,
    primary key (bucket, conversation_id),
    foreign key (bucket, conversation_id) references conversations (bucket, id) on delete cascade
);
