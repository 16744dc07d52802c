//! Structs that are read out of a row, each field out of the column of its name.
//!
//! Apart, and not sqlx's derive: that one brings all of sqlx, SQLite included, into the build a second
//! time, for the compiler to run. Knows no table.

/// Makes a struct that is read out of a row by the names of its fields.
macro_rules! from_row {
    ($(#[$outer:meta])* $visible:vis struct $name:ident {
        $($(#[$inner:meta])* $seen:vis $field:ident: $kind:ty),* $(,)?
    }) => {
        $(#[$outer])*
        $visible struct $name {
            $($(#[$inner])* $seen $field: $kind,)*
        }

        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?,)* })
            }
        }
    };
}

pub(crate) use from_row;
