-- What imports know of the objects of a bank's store, so that the next one reads only what changed. Rows have names that
-- concepts.CheckPath allows; modified is in nanoseconds, as the store gave it. reserved is 0 for a work that may be
-- delivered as far as its object goes, 1 if the file or the site reserves training, 2 if the bank's own table does.

-- +goose Up
CREATE TABLE objects (
    tenant   INTEGER NOT NULL,
    bytes    BIGINT  NOT NULL,
    modified BIGINT  NOT NULL,
    missing  INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    sha256   BYTEA   NOT NULL,
    name     text_c  NOT NULL,
    etag     TEXT    NOT NULL,
    work     text_c  NOT NULL,
    ids      TEXT    NOT NULL,
    outside  TEXT    NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX objects_sha256 ON objects (tenant, sha256, name);
CREATE INDEX objects_missing ON objects (tenant, name) WHERE missing = 1;

-- What a reservation comes to, read out of its evidence: refuses, asks, allows; the value as the protocol writes it.
ALTER TABLE reservations ADD COLUMN effect TEXT NOT NULL DEFAULT '';
ALTER TABLE reservations ADD COLUMN value TEXT NOT NULL DEFAULT '';
ALTER TABLE reservations ADD COLUMN detail TEXT NOT NULL DEFAULT '';
