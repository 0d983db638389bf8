//! The status as metrics in the OpenMetrics text format, for Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Status;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FacilityLabels {
    facility: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    facility: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    facility: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OnDisk {
    folder: String,
}

/// The text of the metrics file.
pub(super) fn render(status: &Status) -> String {
    let mut registry = Registry::with_prefix("rcpspool");
    let messages = Family::<OutcomeLabels, Counter>::default();
    let refused = Family::<ReasonLabels, Counter>::default();
    for folder in &status.folders {
        for (outcome, count) in folder.totals.by_outcome() {
            let facility = folder.id.clone();
            messages
                .get_or_create(&OutcomeLabels { facility, outcome })
                .inc_by(count);
        }
    }
    for ((facility, reason), count) in &status.refused_by_station {
        let labels = ReasonLabels {
            facility: facility.clone(),
            reason: reason.code(),
        };
        refused.get_or_create(&labels).inc_by(*count);
    }
    registry.register(
        "messages",
        "Messages taken in or refused since the start, by outcome",
        messages,
    );
    registry.register(
        "refused",
        "Messages refused since the start, by reason",
        refused,
    );

    let mut by_facility =
        |name: &str, help: &str, value: &dyn Fn(&super::FolderStatus) -> Option<u64>| {
            let family = Family::<FacilityLabels, Gauge>::default();
            for folder in &status.folders {
                if let Some(value) = value(folder) {
                    let facility = folder.id.clone();
                    family
                        .get_or_create(&FacilityLabels { facility })
                        .set(gauge(value));
                }
            }
            registry.register(name, help, family);
        };
    by_facility("backlog_files", "Files that wait in the inbox", &|it| {
        it.backlog.map(|count| count as u64)
    });
    by_facility(
        "settling_files",
        "Files in the inbox that may still be written to, or wait for one that may",
        &|it| Some(it.settling as u64),
    );
    by_facility(
        "in_hand_files",
        "Files that are taken out of the inbox and not finished",
        &|it| Some(it.in_hand as u64),
    );
    by_facility(
        "held_back_files",
        "Files that wait since something failed",
        &|it| Some(it.held_back as u64),
    );
    by_facility(
        "blocked_folders",
        "Folders in the inbox whose files cannot be had",
        &|it| Some(it.blocked_folders as u64),
    );
    by_facility(
        "strange_files",
        "Things in the inbox that are never taken in",
        &|it| Some(it.strange as u64),
    );
    by_facility(
        "error_files",
        "Refused files and messages in error/",
        &|it| Some(it.errors),
    );
    by_facility(
        "reports_waiting",
        "Report versions that wait for the next batch",
        &|it| it.reports_waiting,
    );
    by_facility(
        "reports_outdated",
        "Completed cases whose report shows what is another by now",
        &|it| it.reports_outdated.map(|count| count as u64),
    );
    by_facility(
        "unreachable",
        "1 while the folder cannot be reached",
        &|it| Some(it.problem.is_some().into()),
    );
    by_facility(
        "held_back",
        "1 while files wait since something failed in the folder",
        &|it| Some(it.waits.is_some().into()),
    );

    let mut single = |name: &str, help: &str, value: u64| {
        let metric: Gauge = Gauge::default();
        metric.set(gauge(value));
        registry.register(name, help, metric);
    };
    let seconds =
        |time: chrono::DateTime<chrono::Utc>| u64::try_from(time.timestamp()).unwrap_or_default();
    let unreachable = status
        .folders
        .iter()
        .filter(|folder| folder.problem.is_some())
        .count();
    single(
        "running",
        "1 while a daemon takes files in",
        status.running.into(),
    );
    single(
        "start_time_seconds",
        "When the counts began",
        seconds(status.started),
    );
    single(
        "last_sweep_seconds",
        "When the inboxes were last looked at",
        seconds(status.last_sweep),
    );
    single(
        "unreachable_facilities",
        "Facilities whose folder cannot be reached",
        unreachable as u64,
    );
    single(
        "moves_waiting",
        "Moves that could not be done yet",
        status.moves_waiting as u64,
    );
    single(
        "claims_waiting",
        "Claimed files that could not be read yet",
        status.claims_waiting as u64,
    );
    single(
        "intake_waits",
        "1 while nothing is taken in for want of room",
        status.intake_waits.is_some().into(),
    );

    let free = Family::<OnDisk, Gauge>::default();
    for space in &status.free_space {
        let folder = space.folder.to_string_lossy().into_owned();
        free.get_or_create(&OnDisk { folder })
            .set(gauge(space.bytes));
    }
    registry.register("free_bytes", "Free space on each file system in use", free);

    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(_) => String::new(),
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
