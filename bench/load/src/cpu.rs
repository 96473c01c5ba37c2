//! CPU time of other processes, from `/proc/PID/stat`.

use std::io;

/// Ticks in a second: `USER_HZ`, which Linux fixes at 100 for everything it shows to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of all threads of each of `pids`, in seconds.
pub(crate) fn seconds(pids: &[u32]) -> io::Result<Vec<f64>> {
    pids.iter().map(|pid| process_seconds(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)).collect()
}

fn process_seconds(stat: &str) -> io::Result<f64> {
    // The second field is the command in parentheses and may hold spaces; utime and stime are fields 14 and 15.
    let after_command = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut times = after_command.split_ascii_whitespace().skip(11).take(2).map(str::parse::<f64>);
    match (times.next(), times.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a /proc/PID/stat without utime and stime")),
    }
}

#[cfg(test)]
mod tests {
    use super::process_seconds;

    #[test]
    fn a_command_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(process_seconds(stat).unwrap(), 2.0);
    }
}
