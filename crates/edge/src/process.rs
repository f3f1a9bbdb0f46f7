//! What this process takes of the machine, under the names that Prometheus' client
//! libraries give it (`process_…`).

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Reads `/proc/self` at each scrape. What cannot be read is left out.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(stat) = Stat::read() {
            one(
                &mut encoder,
                (
                    "process_cpu_seconds",
                    "CPU time, in user mode and in the kernel",
                ),
                &ConstCounter::new(stat.cpu_seconds),
            )?;
            one(
                &mut encoder,
                ("process_resident_memory_bytes", "Memory that is resident"),
                &ConstGauge::new(stat.resident_bytes),
            )?;
        }
        if let Some(open) = open_files() {
            one(
                &mut encoder,
                ("process_open_fds", "Open file descriptors"),
                &ConstGauge::new(open),
            )?;
        }
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if let Some(most) = most.and_then(|most| i64::try_from(most).ok()) {
            one(
                &mut encoder,
                ("process_max_fds", "File descriptors that may be open"),
                &ConstGauge::new(most),
            )?;
        }
        Ok(())
    }
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// The descriptor that the folder is read by is not counted.
fn open_files() -> Option<i64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    i64::try_from(entries.count().saturating_sub(1)).ok()
}

struct Stat {
    cpu_seconds: f64,
    resident_bytes: i64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::of(
            &std::fs::read_to_string("/proc/self/stat").ok()?,
            rustix::param::clock_ticks_per_second(),
            rustix::param::page_size(),
        )
    }

    /// proc(5): the second field is a name in parentheses, which may hold anything.
    fn of(text: &str, ticks_per_second: u64, page: usize) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        // The third field is the first of these.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
        let ticks = field(14)?.parse::<u32>().ok()?;
        let ticks = f64::from(ticks) + f64::from(field(15)?.parse::<u32>().ok()?);
        let pages = field(24)?.parse::<i64>().ok()?;
        Some(Self {
            cpu_seconds: ticks / f64::from(u32::try_from(ticks_per_second).ok()?),
            resident_bytes: pages.checked_mul(i64::try_from(page).ok()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn a_process_sees_itself() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name}: {text}"))
                .trim()
                .parse()
                .unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        let open = value("process_open_fds ");
        assert!(open >= 1.0 && open <= value("process_max_fds "));
    }

    #[test]
    fn a_name_may_hold_what_separates_fields() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 19 20 21 22";
        let stat = Stat::of(text, 100, 4096).unwrap();
        assert!((stat.cpu_seconds - 2.0).abs() < 1e-9);
        assert_eq!(stat.resident_bytes, 21 * 4096);
        assert!(Stat::of("7 (a S 1", 100, 4096).is_none());
    }
}
