//! The cheapest one-to-one assignment of rows to columns: the Hungarian method with potentials, in cubic time.

/// Returns for each row its column, or none where there are more rows than columns. `costs` has one list for each row, all
/// of the same length. The magnitude of a cost is at most 10^15 for up to a thousand rows or columns.
pub fn assign(costs: &[Vec<i64>]) -> Vec<Option<usize>> {
    let columns = costs.first().map_or(0, Vec::len);
    if costs.len() <= columns {
        return solve(costs.len(), columns, |row, column| costs[row][column]).into_iter().map(Some).collect();
    }
    let mut assigned = vec![None; costs.len()];
    for (column, row) in solve(columns, costs.len(), |row, column| costs[column][row]).into_iter().enumerate()
    {
        assigned[row] = Some(column);
    }
    assigned
}

/// Returns the column of each row; there are at least as many columns as rows.
fn solve(rows: usize, columns: usize, cost: impl Fn(usize, usize) -> i64) -> Vec<usize> {
    // Rows and columns count from 1; column 0 stands for "not assigned yet".
    let (mut row_potential, mut column_potential) = (vec![0_i64; rows + 1], vec![0_i64; columns + 1]);
    let mut row_of = vec![0_usize; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut slack = vec![i64::MAX; columns + 1];
        let mut reached_from = vec![0_usize; columns + 1];
        let mut is_visited = vec![false; columns + 1];
        let mut at = 0;
        while row_of[at] != 0 {
            is_visited[at] = true;
            let visited_row = row_of[at];
            let (mut smallest, mut next) = (i64::MAX, at);
            for column in (1..=columns).filter(|column| !is_visited[*column]) {
                let reduced =
                    cost(visited_row - 1, column - 1) - row_potential[visited_row] - column_potential[column];
                if reduced < slack[column] {
                    (slack[column], reached_from[column]) = (reduced, at);
                }
                if slack[column] < smallest {
                    (smallest, next) = (slack[column], column);
                }
            }
            for column in 0..=columns {
                if is_visited[column] {
                    row_potential[row_of[column]] += smallest;
                    column_potential[column] -= smallest;
                } else {
                    slack[column] = slack[column].saturating_sub(smallest);
                }
            }
            at = next;
        }
        while at != 0 {
            row_of[at] = row_of[reached_from[at]];
            at = reached_from[at];
        }
    }
    let mut assigned = vec![0; rows];
    for column in 1..=columns {
        if row_of[column] != 0 {
            assigned[row_of[column] - 1] = column - 1;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(costs: &[Vec<i64>], assigned: &[Option<usize>]) -> i64 {
        assigned.iter().zip(costs).filter_map(|(column, row)| Some(row[(*column)?])).sum()
    }

    /// The cheapest sum of all assignments, by trying each of them. All rows have a column.
    fn cheapest(costs: &[Vec<i64>], taken: &mut Vec<bool>) -> i64 {
        let Some((row, rest)) = costs.split_first() else { return 0 };
        let mut best = i64::MAX;
        for column in 0..row.len() {
            if !taken[column] {
                taken[column] = true;
                best = best.min(row[column] + cheapest(rest, taken));
                taken[column] = false;
            }
        }
        best
    }

    #[test]
    fn takes_the_better_of_two_ways() {
        assert_eq!(assign(&[vec![-5, -4], vec![-4, 0]]), [Some(1), Some(0)]);
        assert_eq!(assign(&[vec![3], vec![1], vec![2]]), [None, Some(0), None]);
        assert_eq!(assign(&[vec![3, 1, 2]]), [Some(1)]);
        assert_eq!(assign(&[]), []);
        assert_eq!(assign(&[vec![], vec![]]), [None, None]);
    }

    proptest! {
        #[test]
        fn no_assignment_is_cheaper(
            costs in (1..6_usize, 0..3_usize).prop_flat_map(|(rows, more)| {
                prop::collection::vec(prop::collection::vec(-20..20_i64, rows + more), rows)
            })
        ) {
            let columns = costs[0].len();
            let assigned = assign(&costs);
            let mut used: Vec<usize> = assigned.iter().copied().flatten().collect();
            prop_assert_eq!(used.len(), costs.len());
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), costs.len());
            prop_assert_eq!(total(&costs, &assigned), cheapest(&costs, &mut vec![false; columns]));

            let turned: Vec<Vec<i64>> =
                (0..columns).map(|column| costs.iter().map(|row| row[column]).collect()).collect();
            prop_assert_eq!(total(&turned, &assign(&turned)), total(&costs, &assigned));
        }
    }
}
