//! Lists in statements: many rows in one call, with few distinct statement texts.
//!
//! Each call to SQLite goes through a worker thread, so n rows in one statement cost far less than n
//! statements. Statements are prepared once per text and kept; sizes are therefore powers of two.

use sqlx::{Encode, QueryBuilder, Type};

use crate::sqlite::Db;

/// The longest list in one statement: far below SQLite's 32,766 place marks, long enough that the call
/// no longer matters.
const LONGEST: usize = 64;

/// Cuts `items` into pieces of 64, 32, 16, ... 1, for statements that insert them.
pub(crate) fn pieces<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = items.len().min(LONGEST);
        if size == 0 {
            return None;
        }
        // The greatest power of two that is not longer than what is left.
        let (piece, rest) = items.split_at(1 << size.ilog2());
        items = rest;
        Some(piece)
    })
}

/// Cuts `items` into pieces for [`push_list`].
pub(crate) fn lists<T>(items: &[T]) -> impl Iterator<Item = &[T]> {
    items.chunks(LONGEST)
}

/// Writes `(a, b, c, ...)` for an `IN`; the last item is repeated until the length is a power of two.
pub(crate) fn push_list<'t, T>(query: &mut QueryBuilder<Db>, items: &[T])
where
    T: Clone + Encode<'t, Db> + Type<Db> + 't,
{
    let marks = items.len().next_power_of_two();
    let mut list = query.separated(", ");
    list.push_unseparated("(");
    for item in items.iter().chain(items.last().into_iter().cycle()).take(marks) {
        list.push_bind(item.clone());
    }
    list.push_unseparated(")");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_lose_nothing_and_have_few_lengths() {
        for length in 0..300 {
            let items: Vec<usize> = (0..length).collect();
            let cut: Vec<&[usize]> = pieces(&items).collect();
            assert_eq!(cut.concat(), items);
            assert!(cut.iter().all(|piece| piece.len().is_power_of_two() && piece.len() <= LONGEST));
        }
    }

    #[test]
    fn a_list_of_three_is_written_like_one_of_four() {
        let mut query = QueryBuilder::<Db>::new("x IN ");
        push_list(&mut query, &["a".to_owned(), "b".into(), "c".into()]);
        assert_eq!(query.sql().as_str(), "x IN (?, ?, ?, ?)");
    }
}
