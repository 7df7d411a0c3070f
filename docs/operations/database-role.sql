-- A role for app-apiserver and app-processor with the rights that they need and no more. The role that runs `app migrate`
-- owns the tables; run this as that role, connected to the database, after the first `app migrate`. Choose a password.
create role app_server login password 'change-me';

grant usage on schema public to app_server;
grant select, insert, update, delete on all tables in schema public to app_server;
-- Tables that later migrations and new weeks bring.
alter default privileges in schema public grant select, insert, update, delete on tables to app_server;

-- The version of the schema is read only, and so are written entries of the audit log.
revoke insert, update, delete on refinery_schema_history from app_server;
revoke update, delete on audit_log from app_server;
