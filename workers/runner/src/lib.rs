//! Does: checkout, attempt, processes, log output, report
