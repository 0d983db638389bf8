//! Reads the configuration again on SIGHUP.

use std::sync::Arc;
use std::time::Instant;

use super::Daemon;
use crate::config::Config;

impl Daemon {
    /// Reads the configuration again; a bad one is refused, and so is one that needs a restart.
    pub(super) fn reload(&mut self) {
        let read = Config::load(self.config_path.as_deref()).and_then(|config| {
            config.check_spool()?;
            Ok(config)
        });
        let config = match read {
            Ok(config) => config,
            Err(error) => {
                log::error!("the configuration is refused, the former one stays: {error}");
                return;
            }
        };
        let former = Arc::clone(self.engine.config());
        let moved = config.facilities.iter().find(|facility| {
            let before = former
                .facilities
                .iter()
                .find(|before| before.id == facility.id);
            before.is_some_and(|before| before.dir != facility.dir)
        });
        if config.spool != former.spool {
            log::error!("another spool needs a restart: the former configuration stays");
            return;
        }
        if let Some(facility) = moved {
            log::error!(
                "another folder of facility {} needs a restart: the former configuration stays",
                facility.id
            );
            return;
        }
        self.engine.configure(Arc::new(config));
        let now = Instant::now();
        self.set_report_timers(now);
        // New facilities are opened with the rescan.
        self.timers.rescan = now;
        log::warn!("the configuration was read again");
    }
}
