-- The specification's tables (section 11) as views for people and their tools; nothing in the program reads them. Ids are hexadecimal, as everywhere else.
CREATE FUNCTION cyx.time_of(ms bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    AS 'SELECT CASE WHEN ms > 0 AND ms < 253402300800000 THEN to_timestamp(ms / 1000.0) END';

CREATE VIEW users AS
SELECT
    encode(a.account, 'hex') AS id,
    NULL::text AS wallet_address,
    NULL::text AS email,
    min(a.name) AS username,
    NULL::bigint AS storage_quota,
    (SELECT coalesce(sum(u.object_bytes + u.part_bytes + u.trash_bytes), 0)::bigint
        FROM cyx.buckets b JOIN cyx.usage u ON u.bucket = b.id WHERE b.owner = a.account) AS storage_used,
    'active'::text AS status,
    cyx.time_of(min(a.created)) AS created_at
FROM cyx.access_keys a
GROUP BY a.account;

CREATE VIEW buckets AS
SELECT encode(id, 'hex') AS id, name, encode(owner, 'hex') AS owner_id, cyx.time_of(created) AS created_at
FROM cyx.buckets;

-- A file is the current version of an object. One whose bytes lie in the metadata has no chunks and no shards.
CREATE VIEW files AS
SELECT
    encode(o.version, 'hex') AS id,
    regexp_replace(convert_from(o.key, 'UTF8'), '^.*/', '') AS name,
    convert_from(o.key, 'UTF8') AS path,
    b.name AS bucket,
    encode(b.owner, 'hex') AS owner_id,
    o.etag AS content_hash,
    o.size AS size_bytes,
    coalesce(octet_length(o.chunks) / 36, 0) AS chunk_count,
    c.data::integer AS data_shards,
    c.parity::integer AS parity_shards,
    c.size AS chunk_size,
    'complete'::text AS status,
    o.metadata #>> '{headers,content-type}' AS content_type,
    o.metadata,
    cyx.time_of(o.modified) AS created_at,
    cyx.time_of(o.modified) AS updated_at
FROM cyx.objects o
JOIN cyx.buckets b ON b.id = o.bucket
LEFT JOIN cyx.chunks c ON c.id = substring(o.chunks FROM 1 FOR 32);

CREATE VIEW nodes AS
SELECT
    encode(n.id, 'hex') AS id,
    n.name AS peer_id,
    n.address AS grpc_address,
    coalesce(n.capacity, 0) AS storage_total,
    held.bytes AS storage_used,
    coalesce(n.reserved, 0) AS storage_reserved,
    coalesce(s.state, 'unknown') AS status,
    cyx.time_of(s.last_heartbeat) AS last_heartbeat,
    CASE WHEN s.state = 'offline' THEN cyx.time_of(s.since) END AS first_offline_at,
    cyx.time_of(s.since) AS status_changed_at,
    coalesce(s.failures, 0) AS failure_count,
    nullif(n.region, '') AS region,
    held.shards AS shard_count
FROM cyx.nodes n
LEFT JOIN cyx.node_statuses s ON s.node = n.id
-- Once for each node, whatever is asked of it.
LEFT JOIN LATERAL (
    SELECT coalesce(sum(ceil(c.size::numeric / c.data) * copies.count), 0)::bigint AS bytes, coalesce(sum(copies.count), 0)::bigint AS shards
    FROM cyx.node_numbers m
    JOIN cyx.chunks c ON c.nodes @> ARRAY[m.number]
    CROSS JOIN LATERAL (SELECT cardinality(array_positions(c.nodes, m.number)) AS count) copies
    WHERE m.id = n.id AND c.refs > 0
    OFFSET 0
) held ON true;

-- One row for each copy of a shard. What lies on a node that is away is not lost yet; what lies on one that was removed is.
CREATE VIEW chunk_locations AS
SELECT
    encode(c.id, 'hex') || '/' || p.shard || '@' || encode(m.id, 'hex') AS id,
    encode(c.id, 'hex') || '/' || p.shard AS chunk_id,
    encode(m.id, 'hex') AS node_id,
    CASE coalesce(s.state, 'online') WHEN 'removed' THEN 'lost' WHEN 'offline' THEN 'unreachable' ELSE 'stored' END AS status,
    NULL::timestamptz AS last_verified,
    0 AS verification_failures
FROM cyx.chunks c
CROSS JOIN LATERAL (SELECT number, coalesce(c.shards[at], (at - 1)::smallint) AS shard
    FROM unnest(c.nodes) WITH ORDINALITY AS copy (number, at)) p
JOIN cyx.node_numbers m ON m.number = p.number
LEFT JOIN cyx.node_statuses s ON s.node = m.id
WHERE c.refs > 0;

-- One row for each shard of each chunk of each file. A chunk that several files share has its shards in each of them.
CREATE VIEW chunks AS
SELECT
    encode(o.version, 'hex') || ':' || place.at || '/' || shard.at AS id,
    encode(c.id, 'hex') || '/' || shard.at AS chunk_id,
    encode(o.version, 'hex') AS file_id,
    shard.at AS shard_index,
    shard.at >= c.data AS is_parity,
    ceil(c.size::numeric / c.data)::bigint AS size_bytes,
    encode(substring(c.roots FROM 1 + 32 * shard.at FOR 32), 'hex') AS content_hash,
    1 AS replication_factor,
    (SELECT count(*)::integer FROM unnest(c.nodes) WITH ORDINALITY AS copy (number, at)
        JOIN cyx.node_numbers m ON m.number = copy.number
        LEFT JOIN cyx.node_statuses s ON s.node = m.id
        WHERE coalesce(c.shards[copy.at], (copy.at - 1)::smallint) = shard.at AND coalesce(s.state, 'online') NOT IN ('removed', 'offline')
    ) AS current_replicas,
    'stored'::text AS status
FROM cyx.objects o
CROSS JOIN LATERAL generate_series(0, octet_length(o.chunks) / 36 - 1) AS place (at)
JOIN cyx.chunks c ON c.id = substring(o.chunks FROM 1 + 36 * place.at FOR 32)
CROSS JOIN LATERAL generate_series(0, c.data + c.parity - 1) AS shard (at);

CREATE VIEW repair_jobs AS
SELECT
    encode(chunk, 'hex') AS id,
    encode(chunk, 'hex') AS chunk_id,
    NULL::text AS source_node_id,
    NULL::text AS target_node_id,
    state AS status,
    priority,
    attempts AS retry_count,
    nullif(failure, '') AS error_message,
    cyx.time_of(not_before) AS scheduled_at,
    cyx.time_of(updated) AS updated_at
FROM cyx.jobs;

CREATE VIEW chunk_replication_status AS
SELECT
    chunk_id,
    file_id,
    replication_factor,
    current_replicas,
    replication_factor - current_replicas AS replicas_needed,
    CASE
        WHEN current_replicas >= replication_factor THEN 'healthy'
        WHEN current_replicas > 0 THEN 'under_replicated'
        ELSE 'missing'
    END AS health_status
FROM chunks
WHERE status != 'pending';

CREATE VIEW node_storage_summary AS
SELECT
    n.id,
    n.peer_id,
    n.grpc_address,
    n.storage_total,
    n.storage_reserved,
    n.storage_used,
    GREATEST(0, n.storage_total - n.storage_reserved - n.storage_used) AS storage_available,
    GREATEST(0, n.storage_total - n.storage_reserved) AS storage_allocatable,
    CASE
        WHEN (n.storage_total - n.storage_reserved) > 0
        THEN ROUND((n.storage_used::numeric / (n.storage_total - n.storage_reserved)::numeric) * 100, 2)
        ELSE 0
    END AS utilization_percent,
    CASE WHEN n.status IN ('removed', 'offline') THEN 0 ELSE n.shard_count END AS chunk_count,
    n.status,
    n.last_heartbeat
FROM nodes n;
