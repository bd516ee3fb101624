-- Upload ids of files that went before a day was over: a retry still counts once after a restart.
CREATE TABLE upload(key BLOB PRIMARY KEY, arrived_ns INTEGER NOT NULL) STRICT, WITHOUT ROWID;
