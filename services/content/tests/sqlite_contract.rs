//! The embedded engine passes the store's contract.

use std::sync::Arc;

use freshet_content::SqliteStore;
use freshet_content::store::contract::Made;
use freshet_sqlite::{Db, DbOptions};

async fn make() -> Made {
    let folder = tempfile::tempdir().expect("folder");
    let db = Db::open(&folder.path().join("freshet.db"), &[freshet_content::MIGRATIONS], DbOptions::default());
    let store = SqliteStore::open(db.expect("opens"), &folder.path().join("bodies")).expect("opens");
    Made { store: Arc::new(store), guard: Box::new(folder) }
}

freshet_content::store_contract!(make);
