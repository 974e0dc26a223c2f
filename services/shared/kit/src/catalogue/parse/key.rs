//! `[[key]]`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use freshet_domain::catalogue::{ApiKey, Client, KeyClients, Scope};
use freshet_domain::{ClientId, SourceId};

use super::Table;

/// Reads one key into `keys`, which are by digest.
pub(super) fn read(
    mut table: Table<'_>,
    clients: &BTreeMap<ClientId, Arc<Client>>,
    keys: &mut HashMap<[u8; 32], Arc<ApiKey>>,
) {
    let name = table.required_text("name").unwrap_or_default().to_owned();
    table.rename(format!("key \"{name}\""));
    if !name.is_empty() && keys.values().any(|key| key.name == name) {
        table.wrong("name", "is used by two keys; receipts and logs could not tell them apart");
    }
    let digest = digest(&table);
    let allowed = allowed(&table, clients);
    let scopes = scopes(&table);
    let source = source(&table, clients, &allowed);
    let key = ApiKey { name, clients: allowed, scopes, source };
    // One without a digest was told already, and is not the same as another without.
    if let Some(digest) = digest
        && keys.insert(digest, Arc::new(key)).is_some()
    {
        table.wrong("sha256", "is used by two keys");
    }
    table.finish();
}

fn digest(table: &Table<'_>) -> Option<[u8; 32]> {
    let mut digest = [0_u8; 32];
    let read = hex::decode_to_slice(table.required_text("sha256")?, &mut digest);
    if read.is_err() {
        table.wrong("sha256", "must be 64 hexadecimal digits: the SHA-256 of the key, as `freshet keys new` prints it");
    }
    read.is_ok().then_some(digest)
}

fn allowed(table: &Table<'_>, clients: &BTreeMap<ClientId, Arc<Client>>) -> KeyClients {
    let names = match table.texts("clients") {
        Some(names) if names == ["*"] => return KeyClients::All,
        Some(names) => names,
        None if table.has("clients") => Vec::new(),
        None => {
            table.wrong_here("`clients` is missing: a list of clients, or \"*\"");
            Vec::new()
        }
    };
    if names.is_empty() && table.texts("clients").is_some() {
        table.wrong("clients", "is empty; name at least one client, or \"*\"");
    }
    let mut list = Vec::new();
    for name in names {
        match clients.get(name) {
            Some(client) => list.push(client.id.clone()),
            None => table.wrong("clients", format!("names `{name}`, which is not a client")),
        }
    }
    KeyClients::Only(list)
}

fn scopes(table: &Table<'_>) -> Vec<Scope> {
    let all = || Scope::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ");
    if !table.has("scopes") {
        table.wrong_here(format!("`scopes` is missing; there are: {}", all()));
    }
    let Some(texts) = table.texts("scopes") else { return Vec::new() };
    if texts.is_empty() {
        table.wrong("scopes", format!("is empty, so that the key could do nothing; there are: {}", all()));
    }
    let mut scopes = Vec::new();
    for text in texts {
        match Scope::parse(text) {
            Some(scope) => scopes.push(scope),
            None => table.wrong("scopes", format!("has `{text}`; there are: {}", all())),
        }
    }
    scopes
}

fn source(table: &Table<'_>, clients: &BTreeMap<ClientId, Arc<Client>>, allowed: &KeyClients) -> Option<SourceId> {
    let text = table.text("source")?;
    let is_there =
        clients.values().any(|client| allowed.includes(client.id.as_str()) && client.sources.contains_key(text));
    match SourceId::new(text) {
        Ok(id) => {
            if !is_there {
                table.wrong("source", format!("names `{text}`, which none of the key's clients has"));
            }
            Some(id)
        }
        Err(error) => {
            table.wrong("source", error);
            None
        }
    }
}
