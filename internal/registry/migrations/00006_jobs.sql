-- What people asked for that takes long, and how far it is. The queue's own tables (package jobs) hold no more than
-- tickets, which can be made again from these.

-- +goose Up
-- run counts how often the job was set going: tickets of an earlier run are void. Of the stage it is in, parts is how
-- many there are, next the first that was given no ticket in this run, and left how many are not done.
CREATE TABLE jobs (
    n        INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL REFERENCES tenants (n),
    added    BIGINT  NOT NULL,
    changed  BIGINT  NOT NULL,
    started  BIGINT  NOT NULL,
    ended    BIGINT  NOT NULL,
    priority INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    parts    INTEGER NOT NULL,
    next     INTEGER NOT NULL,
    remain   INTEGER NOT NULL,
    deaths   INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    total    BIGINT  NOT NULL,
    done     BIGINT  NOT NULL,
    refused  BIGINT  NOT NULL,
    id       text_c  NOT NULL,
    kind     text_c  NOT NULL,
    subject  text_c  NOT NULL,
    state    text_c  NOT NULL,
    stage    text_c  NOT NULL,
    why      TEXT    NOT NULL,
    spec     TEXT    NOT NULL,
    result   TEXT    NOT NULL,
    UNIQUE (tenant, id)
);
CREATE INDEX jobs_n ON jobs (tenant, n);
CREATE INDEX jobs_state ON jobs (tenant, state, n);

-- A part has a row from when it is first worked on. hand is the work in hand where these are noted one by one, and
-- falls counts, as a JSON object, how often a process died with a work in hand.
CREATE TABLE job_parts (
    job     INTEGER NOT NULL REFERENCES jobs (n),
    part    INTEGER NOT NULL,
    tries   INTEGER NOT NULL,
    deaths  INTEGER NOT NULL,
    done    BIGINT  NOT NULL,
    refused BIGINT  NOT NULL,
    changed BIGINT  NOT NULL,
    stage   text_c  NOT NULL,
    state   text_c  NOT NULL,
    worker  text_c  NOT NULL,
    hand    text_c  NOT NULL,
    falls   TEXT    NOT NULL,
    why     TEXT    NOT NULL,
    PRIMARY KEY (job, stage, part)
);
CREATE INDEX job_parts_state ON job_parts (job, state, stage, part);
CREATE INDEX job_parts_worker ON job_parts (worker, state);

-- The processes that work, in order of nothing. beat is by the database's clock. Not part of a dump: a process lives
-- where its database is.
CREATE TABLE workers (
    id      text_c  NOT NULL PRIMARY KEY,
    host    text_c  NOT NULL,
    realm   text_c  NOT NULL,
    process text_c  NOT NULL,
    state   text_c  NOT NULL,
    pid     INTEGER NOT NULL,
    started BIGINT  NOT NULL,
    beat    BIGINT  NOT NULL
);
CREATE INDEX workers_state ON workers (state, id);
