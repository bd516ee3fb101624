-- L0: records with time and context, one file for each hour.
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), file_id INTEGER NOT NULL,
	start_ns INTEGER NOT NULL, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL,
	first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, records INTEGER NOT NULL,
	step INTEGER NOT NULL) STRICT;
-- A segment stands for those from `first` to `id`.
CREATE TABLE dict(part INTEGER NOT NULL, id INTEGER NOT NULL, first INTEGER NOT NULL,
	data BLOB NOT NULL, PRIMARY KEY (part, id)) STRICT, WITHOUT ROWID;
CREATE TABLE series(id INTEGER PRIMARY KEY, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL)
	STRICT;
-- The blocks of a batch follow one another from first_block on.
CREATE TABLE batch(id INTEGER PRIMARY KEY, arrived_ns INTEGER NOT NULL, instance INTEGER NOT NULL,
	upload BLOB, ended_ns INTEGER, clamped INTEGER NOT NULL, first_block INTEGER NOT NULL) STRICT;
CREATE INDEX batch_ended ON batch(ended_ns) WHERE ended_ns IS NOT NULL;
CREATE INDEX batch_upload ON batch(id) WHERE upload IS NOT NULL;
CREATE TABLE block(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, series INTEGER NOT NULL,
	instance INTEGER NOT NULL, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL,
	records INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE INDEX block_series ON block(series, min_ns, max_ns, batch);
CREATE TABLE loss(id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, series INTEGER NOT NULL,
	reason INTEGER NOT NULL, time_ns INTEGER NOT NULL, count INTEGER NOT NULL) STRICT;
CREATE INDEX loss_time ON loss(time_ns);
CREATE INDEX loss_batch ON loss(batch);
CREATE TABLE cursor(runtime_id BLOB NOT NULL, ring INTEGER NOT NULL, position INTEGER NOT NULL,
	PRIMARY KEY (runtime_id, ring)) STRICT, WITHOUT ROWID;
