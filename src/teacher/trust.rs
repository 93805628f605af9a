//! Whether code may be loaded from a place that nobody named: only if no one but root and this user could have put it
//! there. A loaded library runs as this user, so a place that is merely found, such as `.venv` in the current
//! directory, has to be as safe as the user's own files.

use std::path::{Path, PathBuf};

/// What makes `path` unsafe to load from, if anything: the path and every folder above it must belong to root, to this
/// user or to the owner of `beside`, and be writable only by its owner. A folder such as `/tmp` is accepted, as the
/// sticky bit keeps others from replacing what is in it.
pub(super) fn why_unsafe(path: &Path, beside: Option<&Path>) -> Option<String> {
    let lexical = std::path::absolute(path).ok()?;
    // Also for the targets of symbolic links: whoever can change a link or its target can change what is loaded.
    let real = lexical.canonicalize().ok();
    let mut places: Vec<PathBuf> = Vec::new();
    for start in real.into_iter().chain([lexical]) {
        places.extend(start.ancestors().map(Path::to_owned));
    }
    places
        .iter()
        .find_map(|place| why_unsafe_itself(place, beside))
}

#[cfg(unix)]
fn why_unsafe_itself(place: &Path, beside: Option<&Path>) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    const STICKY: u32 = 0o1000;
    const GROUP_MAY_WRITE: u32 = 0o020;
    const OTHERS_MAY_WRITE: u32 = 0o002;
    let found = place.metadata().ok()?;
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    let known = beside.and_then(|path| path.metadata().ok());
    let owners = [Some(0), Some(user), known.map(|known| known.uid())];
    if !owners.contains(&Some(found.uid())) {
        let place = place.display();
        return Some(format!("{place} belongs to user {}", found.uid()));
    }
    // If every user has a group of the same number, that group is the user alone.
    let is_private_group = found.gid() == found.uid();
    let group = GROUP_MAY_WRITE * u32::from(!is_private_group);
    let is_open = found.mode() & (group | OTHERS_MAY_WRITE) != 0;
    let is_kept = found.is_dir() && found.mode() & STICKY != 0;
    (is_open && !is_kept).then(|| format!("{} can be written by others", place.display()))
}

#[cfg(not(unix))]
fn why_unsafe_itself(_place: &Path, _beside: Option<&Path>) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir_all, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn library(folder: &Path) -> PathBuf {
        create_dir_all(folder).unwrap();
        set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        let library = folder.join("libonnxruntime.so");
        write(&library, "").unwrap();
        set_permissions(&library, Permissions::from_mode(0o644)).unwrap();
        library
    }

    #[test]
    fn an_owned_folder_inside_a_sticky_one_is_safe() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(why_unsafe(&library(dir.path()), None), None);
        let shared = dir.path().join("shared");
        let inner = library(&shared.join("own"));
        set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(why_unsafe(&inner, None), None);
    }

    #[test]
    fn what_others_can_write_at_any_depth_is_unsafe() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(&dir.path().join("a/b"));
        for open in ["a/b/libonnxruntime.so", "a/b", "a"] {
            let open = dir.path().join(open);
            let before = open.metadata().unwrap().permissions();
            set_permissions(&open, Permissions::from_mode(0o757)).unwrap();
            let why = why_unsafe(&library, None).unwrap();
            assert!(why.contains("can be written by others"), "{why}");
            assert!(why.contains(open.to_str().unwrap()), "{why}");
            set_permissions(&open, before).unwrap();
        }
        assert_eq!(why_unsafe(&library, None), None);
    }

    #[test]
    fn a_link_is_as_safe_as_both_of_its_ends() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(&dir.path().join("open"));
        let own = dir.path().join("own");
        create_dir_all(&own).unwrap();
        symlink(library.parent().unwrap(), own.join("lib")).unwrap();
        let through = own.join("lib/libonnxruntime.so");
        assert_eq!(why_unsafe(&through, None), None);
        for open in ["open", "own"] {
            let open = dir.path().join(open);
            set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
            assert!(why_unsafe(&through, None).is_some(), "{}", open.display());
            set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        }
    }
}
