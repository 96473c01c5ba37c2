//! How much memory the process may use: what budgets of bytes are a part of.

/// What memory limit to assume where the system tells none, bytes.
const MEMORY_ASSUMED: u64 = 1 << 30;

/// The memory that this process may use, bytes: the cgroup's limit, else the machine's memory.
pub fn memory_limit() -> u64 {
    let cgroup = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    smaller_limit(cgroup.as_deref(), machine.as_deref()).unwrap_or(MEMORY_ASSUMED)
}

fn smaller_limit(cgroup: Option<&str>, machine: Option<&str>) -> Option<u64> {
    let cgroup = cgroup.and_then(|text| text.trim().parse::<u64>().ok());
    let machine = machine
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("MemTotal:")))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib.saturating_mul(1024));
    [cgroup, machine].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_limit_is_the_cgroups_where_it_has_one() {
        let machine = Some("MemTotal:       16384 kB\nMemFree: 1 kB\n");
        assert_eq!(smaller_limit(Some("1048576\n"), machine), Some(1 << 20));
        assert_eq!(smaller_limit(Some("max\n"), machine), Some(16 << 20));
        assert_eq!(smaller_limit(None, None), None);
    }
}
