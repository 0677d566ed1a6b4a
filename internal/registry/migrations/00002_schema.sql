-- One schema for SQLite and PostgreSQL. text_c is text that is compared byte by byte: a domain that migration 1
-- makes on PostgreSQL, and on SQLite a name that means text because TEXT is in it, compared byte by byte by default.
-- BYTEA means nothing to SQLite, which keeps bytes as bytes. INTEGER PRIMARY KEY is SQLite's rowid; its numbers are
-- below 2^31 on PostgreSQL. Times are microseconds since 1970 UTC.
--
-- Tables with a row per work have no foreign keys: they would double the time of a bulk load to check numbers that
-- the same transaction has just looked up, and nothing here is ever deleted from the tables they would point to.

-- +goose Up
CREATE TABLE tenants (
    n     INTEGER PRIMARY KEY,
    added BIGINT NOT NULL,
    id    text_c NOT NULL UNIQUE,
    kind  TEXT   NOT NULL,
    name  TEXT   NOT NULL
);

CREATE TABLE works (
    n             INTEGER PRIMARY KEY,
    tenant        INTEGER NOT NULL,
    added         BIGINT  NOT NULL,
    changed       BIGINT  NOT NULL,
    bytes         BIGINT  NOT NULL,
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    state         INTEGER NOT NULL,
    sha256        BYTEA   NOT NULL,
    digest        BYTEA   NOT NULL,
    id            text_c  NOT NULL,
    path          text_c  NOT NULL,
    format        TEXT    NOT NULL,
    iscc          TEXT    NOT NULL,
    title         TEXT    NOT NULL,
    creator       text_c  NOT NULL,
    keywords      TEXT    NOT NULL,
    rights_holder TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    terms         TEXT    NOT NULL
);
CREATE UNIQUE INDEX works_id ON works (tenant, id);
CREATE INDEX works_path ON works (tenant, path, n);
CREATE INDEX works_sha256 ON works (tenant, sha256, n);
-- Many works have one creator or were changed at one time; SQLite compares pairs along an index, but none that ends with
-- its rowid, n.
CREATE INDEX works_creator ON works (tenant, creator, id);
CREATE INDEX works_changed ON works (tenant, changed, id);
CREATE INDEX works_state ON works (tenant, state, id);

CREATE TABLE parties (
    tenant INTEGER NOT NULL REFERENCES tenants (n),
    id     text_c  NOT NULL,
    name   TEXT    NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- An identifier names one party of a tenant.
CREATE TABLE party_ids (
    tenant INTEGER NOT NULL,
    scheme text_c  NOT NULL,
    value  text_c  NOT NULL,
    party  text_c  NOT NULL,
    PRIMARY KEY (tenant, scheme, value),
    FOREIGN KEY (tenant, party) REFERENCES parties (tenant, id)
);
CREATE INDEX party_ids_party ON party_ids (tenant, party);

CREATE TABLE shares (
    tenant INTEGER NOT NULL,
    parts  INTEGER NOT NULL CHECK (parts BETWEEN 1 AND 10000),
    work   text_c  NOT NULL,
    party  text_c  NOT NULL,
    PRIMARY KEY (tenant, work, party)
);
CREATE INDEX shares_party ON shares (tenant, party, work);

CREATE TABLE concepts (
    tenant INTEGER NOT NULL,
    id     text_c  NOT NULL,
    kind   TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE memberships (
    tenant  INTEGER NOT NULL,
    work    text_c  NOT NULL,
    concept text_c  NOT NULL,
    rule    TEXT    NOT NULL,
    why     TEXT    NOT NULL,
    PRIMARY KEY (tenant, work, concept)
);
CREATE INDEX memberships_concept ON memberships (tenant, concept, work);

-- The versions of one catalogue share their rows: a row belongs to the versions from_version <= v < to_version,
-- and to_version is 2147483647 as long as nothing has replaced it. So a version costs what changed. body is a part of
-- the canonical form that is hashed (package concepts); concepts are those of the work, joined by spaces.
CREATE TABLE catalogues (
    n           INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL REFERENCES tenants (n),
    name        text_c  NOT NULL,
    UNIQUE (tenant, name)
);

CREATE TABLE catalogue_versions (
    catalogue   INTEGER NOT NULL REFERENCES catalogues (n),
    version     INTEGER NOT NULL,
    frozen      BIGINT  NOT NULL,
    works       BIGINT  NOT NULL,
    concepts    BIGINT  NOT NULL,
    memberships BIGINT  NOT NULL,
    hash        BYTEA   NOT NULL,
    PRIMARY KEY (catalogue, version)
);

CREATE TABLE catalogue_works (
    catalogue    INTEGER NOT NULL,
    from_version INTEGER NOT NULL,
    to_version   INTEGER NOT NULL,
    work         text_c  NOT NULL,
    concepts     TEXT    NOT NULL,
    body         BYTEA   NOT NULL,
    PRIMARY KEY (catalogue, work, from_version)
);
CREATE INDEX catalogue_works_from ON catalogue_works (catalogue, from_version, work);
CREATE INDEX catalogue_works_to ON catalogue_works (catalogue, to_version, work);

CREATE TABLE catalogue_concepts (
    catalogue    INTEGER NOT NULL,
    from_version INTEGER NOT NULL,
    to_version   INTEGER NOT NULL,
    concept      text_c  NOT NULL,
    body         BYTEA   NOT NULL,
    PRIMARY KEY (catalogue, concept, from_version)
);

CREATE TABLE catalogue_members (
    catalogue    INTEGER NOT NULL,
    from_version INTEGER NOT NULL,
    to_version   INTEGER NOT NULL,
    work         text_c  NOT NULL,
    concept      text_c  NOT NULL,
    body         BYTEA   NOT NULL,
    PRIMARY KEY (catalogue, work, concept, from_version)
);

-- line is the place in the text form of concepts.Codebook. Rows are only ever added.
CREATE TABLE codebook (
    tenant INTEGER NOT NULL,
    line   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    book   text_c  NOT NULL,
    kind   text_c  NOT NULL,
    id     text_c  NOT NULL,
    PRIMARY KEY (tenant, book, line),
    UNIQUE (tenant, book, kind, number),
    UNIQUE (tenant, book, kind, id)
);

-- licensee is 0 where the licensee is no tenant here.
CREATE TABLE licences (
    n         INTEGER PRIMARY KEY,
    tenant    INTEGER NOT NULL REFERENCES tenants (n),
    licensee  INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    starts    BIGINT  NOT NULL,
    ends      BIGINT  NOT NULL,
    revoked   BIGINT  NOT NULL,
    added     BIGINT  NOT NULL,
    id        text_c  NOT NULL,
    party     TEXT    NOT NULL,
    purpose   TEXT    NOT NULL,
    stages    TEXT    NOT NULL,
    territory TEXT    NOT NULL,
    catalogue text_c  NOT NULL,
    why       TEXT    NOT NULL,
    UNIQUE (tenant, id),
    CHECK (starts < ends)
);
CREATE INDEX licences_licensee ON licences (licensee, n);

CREATE TABLE deliveries (
    n        INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL REFERENCES tenants (n),
    licence  INTEGER NOT NULL REFERENCES licences (n),
    licensee INTEGER NOT NULL,
    added    BIGINT  NOT NULL,
    changed  BIGINT  NOT NULL,
    id       text_c  NOT NULL,
    state    text_c  NOT NULL,
    why      TEXT    NOT NULL,
    spec     TEXT    NOT NULL,
    result   TEXT    NOT NULL,
    UNIQUE (tenant, id)
);
CREATE INDEX deliveries_state ON deliveries (tenant, state, n);
CREATE INDEX deliveries_licensee ON deliveries (licensee, n);

CREATE TABLE delivery_steps (
    delivery INTEGER NOT NULL REFERENCES deliveries (n),
    step     INTEGER NOT NULL,
    at       BIGINT  NOT NULL,
    state    text_c  NOT NULL,
    why      TEXT    NOT NULL,
    PRIMARY KEY (delivery, step)
);

-- refusal is '' for a work that was marked.
CREATE TABLE items (
    tenant   INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    bytes    BIGINT  NOT NULL,
    psnr_db  DOUBLE PRECISION NOT NULL,
    ssim     DOUBLE PRECISION NOT NULL,
    sha256   BYTEA   NOT NULL,
    work     text_c  NOT NULL,
    shard    text_c  NOT NULL,
    iscc     TEXT    NOT NULL,
    refusal  text_c  NOT NULL,
    detail   TEXT    NOT NULL,
    PRIMARY KEY (delivery, work)
);
CREATE INDEX items_work ON items (tenant, work, delivery);
CREATE INDEX items_shard ON items (delivery, shard, work);
CREATE INDEX items_refusal ON items (delivery, refusal, work);

-- Objects that did not become works. name is what the store calls it, in its own bytes; key is its SHA-256.
CREATE TABLE refusals (
    n      INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL,
    at     BIGINT  NOT NULL,
    key    BYTEA   NOT NULL,
    name   BYTEA   NOT NULL,
    kind   text_c  NOT NULL,
    detail TEXT    NOT NULL,
    UNIQUE (tenant, key)
);
CREATE INDEX refusals_n ON refusals (tenant, n);
CREATE INDEX refusals_kind ON refusals (tenant, kind, n);

-- key is the SHA-256 of everything but the time.
CREATE TABLE reservations (
    n        INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL,
    found    BIGINT  NOT NULL,
    key      BYTEA   NOT NULL,
    hash     BYTEA   NOT NULL,
    raw      BYTEA   NOT NULL,
    work     text_c  NOT NULL,
    path     text_c  NOT NULL,
    protocol text_c  NOT NULL,
    url      TEXT    NOT NULL,
    UNIQUE (tenant, key)
);
CREATE INDEX reservations_n ON reservations (tenant, n);
CREATE INDEX reservations_work ON reservations (tenant, work, n);

CREATE TABLE todos (
    tenant INTEGER NOT NULL,
    since  BIGINT  NOT NULL,
    work   text_c  NOT NULL,
    field  text_c  NOT NULL,
    why    TEXT    NOT NULL,
    PRIMARY KEY (tenant, work, field)
);
CREATE INDEX todos_field ON todos (tenant, field, work);

CREATE TABLE removals (
    n        INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    at       BIGINT  NOT NULL,
    sha256   BYTEA   NOT NULL,
    work     text_c  NOT NULL,
    iscc     TEXT    NOT NULL,
    why      TEXT    NOT NULL,
    UNIQUE (delivery, work)
);
CREATE INDEX removals_n ON removals (tenant, n);
CREATE INDEX removals_work ON removals (tenant, work);
