//! What the kernel says about the machine.

/// Names and values: processor, cores, memory, kernel. What cannot be read is `unknown`.
pub fn machine() -> Vec<(String, String)> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim().to_owned()))
    };
    let (cpu, memory) = (file("/proc/cpuinfo"), file("/proc/meminfo"));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    [
        ("processor", field(&cpu, "model name")),
        ("cores", Some(cores.to_string())),
        ("memory", field(&memory, "MemTotal")),
        ("kernel", Some(file("/proc/sys/kernel/osrelease").trim().to_owned())),
    ]
    .into_iter()
    .map(|(what, is)| (what.to_owned(), is.filter(|is| !is.is_empty()).unwrap_or_else(|| "unknown".to_owned())))
    .collect()
}
