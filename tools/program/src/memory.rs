//! How much memory this process may use: the machine's, or less in a container.
//!
//! Limits of control groups are those of `cgroups(7)` of both versions, of every group that the process's own is nested in.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Bytes of memory that this process may use at most, swap aside; `None` where the system does not say.
pub fn limit() -> Option<u64> {
    limit_below(Path::new("/"))
}

/// [`limit`] as the files below `root` say it.
fn limit_below(root: &Path) -> Option<u64> {
    let machine = in_meminfo(&fs::read_to_string(root.join("proc/meminfo")).ok()?)?;
    Some(groups(root).into_iter().filter_map(|file| limit_in(&file)).fold(machine, u64::min))
}

fn in_meminfo(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The number in a limit's file; `max` of version 2 is none, and so large a number as version 1 writes has no effect.
fn limit_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The files that may hold a limit: of this process's groups and all groups around them that can be seen from here.
fn groups(root: &Path) -> Vec<PathBuf> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (mounts, memberships) = (read("proc/self/mountinfo"), read("proc/self/cgroup"));
    let mut files = Vec::new();
    // `hierarchy:controllers:path`; version 2 is the line without controllers.
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (kind, name) = match controllers {
            "" => ("cgroup2", "memory.max"),
            list if list.split(',').any(|controller| controller == "memory") => ("cgroup", "memory.limit_in_bytes"),
            _ => continue,
        };
        let Some((seen, point)) = mounts.lines().find_map(|line| mount(line, kind)) else { continue };
        let point = root.join(point.trim_start_matches('/'));
        // Of a group outside what is mounted here, only the mounted part's own limits can be read.
        let below = Path::new(path).strip_prefix(&seen).unwrap_or(Path::new(""));
        let below = if below.components().any(|part| part == Component::ParentDir) { Path::new("") } else { below };
        files.extend(below.ancestors().map(|group| point.join(group).join(name)));
    }
    files
}

/// The group at the root of a mounted hierarchy and its mount point, if a line of `mountinfo` is one of this kind (and of
/// version 1, one of the memory controller).
fn mount(line: &str, kind: &str) -> Option<(String, String)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = file_system.split(' ');
    let (found, options) = (fields.next()?, fields.nth(1)?);
    if found != kind || (kind == "cgroup" && !options.split(',').any(|option| option == "memory")) {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, removed with it.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("zoetrope-memory-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
                fs::write(path, text).expect("a file");
            }
            Self(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:  16777216 kB\n");
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 23 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      36 23 0:33 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

    #[test]
    fn meminfo_is_in_kilobytes() {
        assert_eq!(in_meminfo("Shmem: 1 kB\nMemTotal:        2048 kB\nMemFree: 5 kB\n"), Some(2 << 20));
        assert_eq!(in_meminfo("MemFree: 5 kB\n"), None);
        assert_eq!(in_meminfo("MemTotal: many kB\n"), None);
    }

    #[test]
    fn the_lowest_limit_of_nested_groups_holds() {
        let root = Root::new(
            "nested",
            &[
                MEMINFO,
                ("proc/self/mountinfo", V2),
                ("proc/self/cgroup", "0::/user.slice/job.scope\n"),
                ("sys/fs/cgroup/user.slice/memory.max", "3221225472\n"),
                ("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n"),
            ],
        );
        assert_eq!(limit_below(&root.0), Some(3 << 30));
        fs::write(root.0.join("sys/fs/cgroup/user.slice/job.scope/memory.max"), "1073741824\n").expect("a file");
        assert_eq!(limit_below(&root.0), Some(1 << 30));
    }

    #[test]
    fn a_container_sees_its_own_group() {
        let own = [
            MEMINFO,
            ("proc/self/mountinfo", V2),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "2147483648\n"),
        ];
        assert_eq!(limit_below(&Root::new("own", &own).0), Some(2 << 30));
        // A group outside of what is mounted.
        let outside = [own[0], own[1], ("proc/self/cgroup", "0::/../other\n"), own[3]];
        assert_eq!(limit_below(&Root::new("outside", &outside).0), Some(2 << 30));
    }

    #[test]
    fn version_1_counts_too() {
        let files = [
            MEMINFO,
            ("proc/self/mountinfo", V1),
            ("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc/inner\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296\n"),
            ("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit_below(&Root::new("v1", &files).0), Some(4 << 30));
    }

    #[test]
    fn without_groups_it_is_the_machines() {
        assert_eq!(limit_below(&Root::new("none", &[MEMINFO]).0), Some(16 << 30));
        assert_eq!(limit_below(&Root::new("nothing", &[("a", "")]).0), None);
    }
}
