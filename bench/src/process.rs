//! What the kernel says of processes (proc(5)).

use crate::Outcome;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A program that runs until it is dropped.
pub(crate) struct Running {
    child: Child,
    /// Its first line on stdout.
    pub(crate) first_line: String,
}

impl Running {
    /// Starts `command` and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe from the program")?;
        let mut first_line = String::new();
        BufReader::new(stdout).read_line(&mut first_line)?;
        let running = Self { child, first_line };
        if running.first_line.is_empty() {
            return Err("the program ended before it was ready".into());
        }
        Ok(running)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, as a crash would end it, and waits until it is gone.
    pub(crate) fn crash(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits until it has ended in order.
    pub(crate) fn stop(&mut self) -> Outcome<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {status}").into())
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that a process has used, user and system, of all its threads.
pub(crate) fn cpu(pid: u32) -> Outcome<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; after it comes field 3.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    sum_of_ticks(fields.split_whitespace().skip(11).take(2))
}

/// CPU time that all of the machine has used: everything but idle and waiting
/// for disks.
pub(crate) fn machine_cpu() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let mut fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let user_nice_system = sum_of_ticks(fields.by_ref().take(3))?;
    // idle and iowait; then irq, softirq, steal.
    Ok(user_nice_system + sum_of_ticks(fields.skip(2).take(3))?)
}

fn sum_of_ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Outcome<Duration> {
    let mut ticks: u64 = 0;
    for field in fields {
        ticks += field.parse::<u64>()?;
    }
    let micros = ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_micros(micros))
}

/// Anonymous memory of a process that is in RAM, in KiB.
pub(crate) fn anonymous_kib(pid: u32) -> Outcome<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .ok_or("no RssAnon")?;
    Ok(field.trim().trim_end_matches(" kB").parse()?)
}
