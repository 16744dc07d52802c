//! Private RabbitMQ nodes for tests and benchmarks
