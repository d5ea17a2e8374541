//! How much memory the machine has.

use std::fs;

/// Bytes of memory that this process may use at most, swap aside; `None` where the system does not say.
pub fn total() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = in_meminfo(&info)?;
    // A container may have less than its machine.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}

fn in_meminfo(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn meminfo_is_in_kilobytes() {
        assert_eq!(super::in_meminfo("Shmem: 1 kB\nMemTotal:        2048 kB\nMemFree: 5 kB\n"), Some(2 << 20));
        assert_eq!(super::in_meminfo("MemFree: 5 kB\n"), None);
        assert_eq!(super::in_meminfo("MemTotal: many kB\n"), None);
    }
}
