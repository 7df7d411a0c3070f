//! API keys on a real PostgreSQL: their roles, and what revoking leaves.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::Client;
use app_db::keys::{self, ApiKey, Role};
use testkit::fixtures::Fixtures;

async fn made(client: &Client, f: &Fixtures, seed: u8, role: Role) -> ApiKey {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(73).wrapping_add(41);
        state
    };
    keys::create(client, &f.ids, f.now, "test", role, &mut random).await.unwrap().1
}

#[tokio::test]
async fn a_key_has_its_role_and_one_from_before_there_were_roles_is_an_operators() {
    let database = testkit::database().await;
    let (client, f) = (database.pool.get().await.unwrap(), Fixtures::new());
    client
        .batch_execute(
            "alter table api_keys drop column role, drop column last_used_at;
             insert into api_keys (id, name, prefix, key_hash)
             values ('00000000-0000-7000-8000-000000000000', 'old', 'app_old', sha256('old'))",
        )
        .await
        .unwrap();
    client.batch_execute(include_str!("../migrations/V16__key_roles.sql")).await.unwrap();
    let application = made(&client, &f, 1, Role::Application).await;
    let operator = made(&client, &f, 2, Role::Operator).await;
    assert_eq!((application.role, operator.role), (Role::Application, Role::Operator));
    let listed: Vec<Role> = keys::list(&client).await.unwrap().iter().map(|key| key.role).collect();
    assert_eq!(listed, [Role::Operator, Role::Application, Role::Operator]);
    assert!(keys::revoke(&client, operator.id).await.unwrap());
    let mut valid: Vec<Role> = keys::valid(&client).await.unwrap().iter().map(|key| key.role).collect();
    valid.sort_by_key(|role| role.as_str());
    assert_eq!(valid, [Role::Application, Role::Operator]);
    let unknown = client.batch_execute("update api_keys set role = 'admin'").await;
    assert!(unknown.is_err(), "the column holds the vocabulary");
}
