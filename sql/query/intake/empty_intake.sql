TRUNCATE {intake}
