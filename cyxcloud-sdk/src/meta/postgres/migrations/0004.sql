-- Quotas, what uploads in progress have reserved, and what was held how long: `byte_ms` is every byte times the milliseconds it was held, up to `since`.
CREATE TABLE cyx.accounts (
    id bytea PRIMARY KEY,
    quota bigint CHECK (quota >= 0),
    -- Of buckets that are gone.
    byte_ms numeric NOT NULL DEFAULT 0
);

ALTER TABLE cyx.usage ADD COLUMN since bigint NOT NULL DEFAULT 0, ADD COLUMN byte_ms numeric NOT NULL DEFAULT 0;
-- Metering begins now.
UPDATE cyx.usage SET since = (extract(epoch FROM statement_timestamp()) * 1000)::bigint;
ALTER TABLE cyx.usage ALTER COLUMN since DROP DEFAULT;

ALTER TABLE cyx.leases ADD COLUMN account bytea, ADD COLUMN reserved bigint NOT NULL DEFAULT 0;
CREATE INDEX leases_by_account ON cyx.leases (account) WHERE reserved > 0;

CREATE OR REPLACE VIEW users AS
SELECT
    encode(a.account, 'hex') AS id,
    NULL::text AS wallet_address,
    NULL::text AS email,
    min(a.name) AS username,
    (SELECT q.quota FROM cyx.accounts q WHERE q.id = a.account) AS storage_quota,
    (SELECT coalesce(sum(u.object_bytes + u.part_bytes + u.trash_bytes), 0)::bigint
        FROM cyx.buckets b JOIN cyx.usage u ON u.bucket = b.id WHERE b.owner = a.account) AS storage_used,
    'active'::text AS status,
    cyx.time_of(min(a.created)) AS created_at
FROM cyx.access_keys a
GROUP BY a.account;
