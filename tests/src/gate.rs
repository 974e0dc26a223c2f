//! A network path that can be cut or blocked, between two real parties on loopback.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Bytes pass.
    Open,
    /// Connections are closed, new ones at once.
    Cut,
    /// Connections stay, and nothing passes.
    Blocked,
}

/// Forwards TCP to one address.
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    path: watch::Sender<Path>,
}

impl Gate {
    /// An open gate before `target`, for as long as it is kept.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap_or_else(|error| panic!("no port on loopback: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}"));
        let (path, seen) = watch::channel(Path::Open);
        tokio::spawn(async move {
            let mut gone = seen.clone();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let Ok((stream, _)) = accepted {
                            tokio::spawn(forward(stream, target, seen.clone()));
                        }
                    }
                    changed = gone.changed() => {
                        // The gate was dropped.
                        if changed.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self { address, path }
    }

    /// Changes the path for connections that are open, too.
    pub fn set(&self, path: Path) {
        self.path.send_replace(path);
    }
}

async fn forward(mut near: TcpStream, target: SocketAddr, mut path: watch::Receiver<Path>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    loop {
        let now = *path.borrow_and_update();
        let changed = match now {
            Path::Cut => return,
            Path::Blocked => path.changed().await,
            Path::Open => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                changed = path.changed() => changed,
            },
        };
        if changed.is_err() {
            return;
        }
    }
}
