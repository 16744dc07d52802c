//! Needs between jobs must not form a circle.

/// The jobs of one circle, in its order, if there is any. `needs[job]` are the jobs it needs.
pub(crate) fn circle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Closed,
    }
    let mut marks = vec![Mark::New; needs.len()];
    // An own stack: a file may chain as many jobs as the limit allows.
    for start in 0..needs.len() {
        let mut path: Vec<(usize, usize)> = Vec::new();
        if marks[start] == Mark::New {
            marks[start] = Mark::Open;
            path.push((start, 0));
        }
        while let Some((job, next)) = path.last_mut() {
            let Some(&needed) = needs[*job].get(*next) else {
                marks[*job] = Mark::Closed;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[needed] {
                Mark::Closed => {}
                Mark::New => {
                    marks[needed] = Mark::Open;
                    path.push((needed, 0));
                }
                Mark::Open => {
                    let from = path.iter().position(|(job, _)| *job == needed).unwrap_or(0);
                    return Some(path[from..].iter().map(|(job, _)| *job).collect());
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::circle;

    #[test]
    fn circles_are_found_and_only_circles() {
        assert_eq!(circle(&[vec![1], vec![2], vec![]]), None);
        assert_eq!(circle(&[vec![1, 2], vec![2], vec![]]), None);
        assert_eq!(circle(&[vec![1], vec![2], vec![1]]), Some(vec![1, 2]));
        assert_eq!(circle(&[vec![0]]), Some(vec![0]));
    }
}
