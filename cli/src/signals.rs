//! The signals that mean `quit` to what is kept alive.

/// Calls `told` once on Ctrl-C or SIGTERM, from a thread of its own.
pub(crate) fn on_quit(told: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || wait(told))?;
    Ok(())
}

fn wait(told: impl FnOnce()) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        told();
    });
}
