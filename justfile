# Short names for what is done often. Nothing here is needed: each is one plain command.

# Everything that must be green, RabbitMQ included
test *args:
    tests/run {{args}}

# Watch this repository with this program
up:
    cargo run --release -- up .

# The form of the code
form:
    cargo fmt --all
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Licences, advisories and sources of all dependencies (needs cargo-deny)
deny:
    cargo deny check

# The table of docs/speed.md
bench *args:
    cargo bench --bench speed -- {{args}}
