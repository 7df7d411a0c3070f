-- WhatsApp is a channel, and a medium of its own: its messages do not join the SMS conversations of the same numbers.
--
-- The constraints that hold these vocabularies are only widened: what passed the old ones passes these, so nothing need
-- be read. NOT VALID says so, and also of a table of any size this is a change of the catalogue alone. It needs every
-- partition for itself for a moment, and does not queue all inserts behind an old reader for it: where it cannot have
-- them within five seconds, run `app migrate` again. Partitions made from now on copy the constraint.
set local lock_timeout = '5s';
alter table conversations
    drop constraint conversations_medium_check,
    add constraint conversations_medium_check check (medium in ('phone', 'email', 'whatsapp')) not valid;
alter table outbox
    drop constraint outbox_channel_check,
    add constraint outbox_channel_check check (channel in ('sms', 'mms', 'email', 'whatsapp')) not valid;
alter table messages
    drop constraint messages_channel_check,
    add constraint messages_channel_check check (channel in ('sms', 'mms', 'email', 'whatsapp')) not valid;
