//! Why the engine cannot go on, and after which of these errors it may be tried again.

use super::witness::Loss;
use crate::journal::JournalError;
use crate::model::view::ViewError;
use crate::spool::fs::FsError;
use crate::spool::layout::FolderError;
use crate::store::StoreError;

/// The engine cannot go on with what it was doing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The folders cannot be used.
    #[error(transparent)]
    Layout(#[from] FolderError),
    /// The disk failed before anything was promised: what was in hand waits, and is tried again.
    #[error(transparent)]
    Disk(#[from] FsError),
    /// A sync failed: what reached the disk is not known. The process must end; the next start finds the truth.
    #[error(
        "what was written may not have reached the disk: {0}. Check the disk, then start again"
    )]
    Sync(#[source] FsError),
    /// A sync of a file system on which nothing but facilities lies failed: these are set aside, and nothing that was
    /// in hand counts.
    #[error("what was written may not have reached the disk: {0}")]
    PlaceSync(#[source] FsError),
    /// The folder of a facility is needed and cannot be reached.
    #[error("the folder of {0} cannot be reached")]
    Unreachable(String),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something proves that what the journal held is not there.
    #[error(transparent)]
    Loss(#[from] Loss),
    /// A thread that puts groups on the disk ended without an answer, or an error before this one left it open what
    /// reached the disk.
    #[error("what was written last may not be complete: start again, the journal tells the truth")]
    Lost,
    /// The system has no thread left.
    #[error(
        "no thread can be started: {0}. Raise the limit of tasks of the service, then start again"
    )]
    Thread(#[source] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A report that is to leave cannot be found: its batch waits.
    #[error("a batch cannot be written: {0}")]
    Report(String),
    /// The database holds something that cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A file of whose writers nothing is known was written to after it was read: what was decided with it is decided
    /// again.
    #[error("a file was written to after it was read")]
    Grown,
    /// A command names a file that may still be written to: both wait.
    #[error("a file that a command names may still be written to")]
    InDoubt,
    /// The engine was told to stop in the midst of a file: its other messages wait.
    #[error("told to stop")]
    Stopped,
    /// The others come first for a while: the other messages of the file in hand wait.
    #[error("the turn of a file is over")]
    TurnOver,
}

impl EngineError {
    /// Whether the same engine may go on later, with everything in hand waiting as it was.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            EngineError::Disk(_)
                | EngineError::PlaceSync(_)
                | EngineError::Unreachable(_)
                | EngineError::Report(_)
                | EngineError::Journal(JournalError::Disk(_))
                | EngineError::Grown
                | EngineError::InDoubt
                | EngineError::Stopped
                | EngineError::TurnOver
        )
    }

    /// What it says without the path of a file, in which a received name may stand: for logs.
    pub fn without_path(&self) -> String {
        match self {
            EngineError::Disk(error) => error.without_path(),
            other => other.to_string(),
        }
    }
}
