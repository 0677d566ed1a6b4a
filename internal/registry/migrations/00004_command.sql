-- What the command keeps besides: documents of a tenant, visual descriptors, and under which keys marks were made.

-- +goose Up
-- A document is data of one kind and name, compressed by Zstandard and cut into parts of at most a mebibyte. hash is the
-- SHA-256 of the whole before compression, the same in all parts.
CREATE TABLE documents (
    tenant  INTEGER NOT NULL REFERENCES tenants (n),
    part    INTEGER NOT NULL,
    changed BIGINT  NOT NULL,
    kind    text_c  NOT NULL,
    name    text_c  NOT NULL,
    hash    BYTEA   NOT NULL,
    data    BYTEA   NOT NULL,
    PRIMARY KEY (tenant, kind, name, part)
);

-- visual is concepts.Descriptor as float64s, least significant byte first. It belongs to the bytes of the master, of
-- which work is made, so it never changes.
CREATE TABLE descriptors (
    tenant INTEGER NOT NULL,
    work   text_c  NOT NULL,
    visual BYTEA   NOT NULL,
    PRIMARY KEY (tenant, work)
);

-- key is the SHA-256 of everything but the time; place is '' for pictures marked without a delivery.
CREATE TABLE markings (
    n          INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL REFERENCES tenants (n),
    added      BIGINT  NOT NULL,
    epoch      INTEGER NOT NULL,
    profile    INTEGER NOT NULL,
    resolution INTEGER NOT NULL,
    key        BYTEA   NOT NULL,
    bank       TEXT    NOT NULL,
    catalogue  TEXT    NOT NULL,
    licence    TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    place      TEXT    NOT NULL,
    UNIQUE (tenant, key)
);
CREATE INDEX markings_n ON markings (tenant, n);

-- A delivery may be of a later version of the catalogue than its licence was given for: increments under one licence.
ALTER TABLE deliveries ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET version = (SELECT l.version FROM licences l WHERE l.n = deliveries.licence);
CREATE INDEX deliveries_licence ON deliveries (licence, n);
