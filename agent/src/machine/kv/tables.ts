import { CHANGES_TABLE } from './change-history.ts'

/** Beside `kv`, what the whole command set keeps. Keys are explicit: VACUUM may renumber rowids. */
export const KV_TABLES = `
  CREATE TABLE kv(
    key BLOB PRIMARY KEY NOT NULL,
    value BLOB NOT NULL,
    create_index INTEGER NOT NULL,
    modify_index INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    flags TEXT NOT NULL DEFAULT '0',
    lock_index INTEGER NOT NULL DEFAULT 0,
    session TEXT NOT NULL DEFAULT '',
    ttl_ms INTEGER NOT NULL DEFAULT 0,
    content_type TEXT NOT NULL DEFAULT ''
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX kv_by_session ON kv(session, key) WHERE session <> '';
  CREATE INDEX kv_mortal ON kv(key) WHERE ttl_ms > 0;
  CREATE TABLE lock_sessions(
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    node TEXT NOT NULL,
    behavior TEXT NOT NULL,
    ttl_ms INTEGER NOT NULL,
    lock_delay_ms INTEGER NOT NULL,
    create_index INTEGER NOT NULL,
    renew_index INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lock_delays(
    key BLOB PRIMARY KEY NOT NULL,
    delay_ms INTEGER NOT NULL,
    begin_index INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE tombstones(
    seq INTEGER PRIMARY KEY NOT NULL,
    key BLOB NOT NULL,
    tree INTEGER NOT NULL,
    delete_index INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX tombstones_by_key ON tombstones(key, delete_index);
  CREATE INDEX tombstones_of_trees ON tombstones(key, delete_index) WHERE tree = 1;
  CREATE TABLE session_change(
    id INTEGER PRIMARY KEY CHECK(id = 0),
    change_index INTEGER NOT NULL
  ) STRICT;
  ${CHANGES_TABLE};
  INSERT INTO session_change VALUES(0, 0);
`
