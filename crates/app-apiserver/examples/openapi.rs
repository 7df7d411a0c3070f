//! Prints the API's description, for generators of clients: `cargo run -p app-apiserver --example openapi`

fn main() -> serde_json::Result<()> {
    println!("{}", serde_json::to_string_pretty(&app_apiserver::document())?);
    Ok(())
}
