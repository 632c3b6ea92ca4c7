//! The types of pgvector that hold an embedding, and what pgvector's indexes take of each.

/// A type of pgvector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorType {
    /// Numbers of four bytes.
    #[default]
    Vector,
}

impl VectorType {
    /// The name of the type in SQL, without its schema.
    pub const fn name(self) -> &'static str {
        match self {
            VectorType::Vector => "vector",
        }
    }

    /// The operator classes that pgvector has for an HNSW index on a column of the type. pgai forgot the third.
    pub const fn operator_classes(self) -> &'static [&'static str] {
        match self {
            VectorType::Vector => &["vector_cosine_ops", "vector_l2_ops", "vector_l1_ops", "vector_ip_ops"],
        }
    }

    /// The operator class of an index for which none was chosen.
    pub const fn default_operator_class(self) -> &'static str {
        match self {
            VectorType::Vector => "vector_cosine_ops",
        }
    }

    /// The most dimensions that an HNSW index takes: pgvector's `HNSW_MAX_DIM`.
    pub const fn greatest_hnsw(self) -> i64 {
        match self {
            VectorType::Vector => 2_000,
        }
    }

    /// The most dimensions that a DiskANN index without compression takes: pgvectorscale's `MAX_DIMENSION_NO_SBQ`.
    pub const fn greatest_plain_diskann(self) -> i64 {
        match self {
            VectorType::Vector => 2_000,
        }
    }

    /// Bytes of a value of so many dimensions, with Postgres' header and pgvector's.
    pub const fn bytes(self, dimensions: usize) -> usize {
        match self {
            VectorType::Vector => 4 * dimensions + 8,
        }
    }
}
