//! Properties of the terminal.

/// Default width in cells.
const DEFAULT_WIDTH: usize = 100;
/// Maximum width: figures fill the width, so it is limited whatever `COLUMNS` says.
const MAX_WIDTH: usize = 1000;

/// Width of standard output in cells: `COLUMNS`, else what the terminal reports, else a default for
/// a pipe.
pub(crate) fn width() -> usize {
    let from_environment = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    from_environment
        .or_else(width_of_stdout)
        .filter(|&columns| columns > 0)
        .map_or(DEFAULT_WIDTH, |columns| columns.min(MAX_WIDTH))
}

#[cfg(unix)]
fn width_of_stdout() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which points to one that outlives the call.
    let code = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (code == 0).then_some(usize::from(size.ws_col))
}

#[cfg(not(unix))]
fn width_of_stdout() -> Option<usize> {
    None
}
