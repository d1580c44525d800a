-- What a bucket has of its own: k, m, the bytes of a full chunk, shards that a write waits for. Null follows the policy of the cluster.
ALTER TABLE cyx.buckets ADD COLUMN data bigint, ADD COLUMN parity bigint, ADD COLUMN chunk_size bigint, ADD COLUMN write_quorum bigint;
