//! Medians, percentiles and the table. Pure, but for the printing.

/// One line of the table.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) measure: String,
    /// What came out.
    pub(crate) figure: String,
    /// What it is held against, from the same run.
    pub(crate) anchor: String,
    /// Both in one number.
    pub(crate) ratio: String,
    /// Where it is heading.
    pub(crate) goal: &'static str,
}

/// The value below which this share of the sorted values lies (nearest rank).
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(&sorted(values), 0.5)
}

/// In ascending order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Medians over the rounds of each round's p50 and p99.
pub(crate) fn p50_p99(rounds: &[Vec<f64>]) -> (f64, f64) {
    let of = |share| rounds.iter().map(|round| percentile(&sorted(round), share)).collect::<Vec<_>>();
    (median(&of(0.5)), median(&of(0.99)))
}

/// Events per second between the moments at which 20 % and 80 % of `all` had happened: the run without
/// its start and its end. `marks` are (how many so far, nanoseconds).
pub(crate) fn middle_rate(marks: &[(u64, u64)], all: u64) -> f64 {
    let at = |share: u64| marks.iter().find(|(count, _)| *count >= all * share / 100);
    match (at(20), at(80)) {
        (Some((first, begun)), Some((last, ended))) if ended > begun => {
            (last - first) as f64 / ((ended - begun) as f64 / 1e9)
        }
        _ => f64::NAN,
    }
}

/// Prints the rows, each column as wide as its widest entry.
pub(crate) fn print(rows: &[Row]) {
    let head = ["measure", "Thump", "anchor, same run", "ratio", "goal"].map(str::to_owned);
    let line = |row: &Row| {
        [row.measure.clone(), row.figure.clone(), row.anchor.clone(), row.ratio.clone(), row.goal.to_owned()]
    };
    let mut lines = vec![head];
    lines.extend(rows.iter().map(line));
    let widths: Vec<usize> =
        (0..5).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    for (number, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            println!("|-{}-|", rules.join("-|-"));
        }
    }
}
