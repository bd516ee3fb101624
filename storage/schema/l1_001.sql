-- L1: windows of ten seconds without context, one file for each day, derived from L0.
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), file_id INTEGER NOT NULL,
	start_ns INTEGER NOT NULL, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL,
	first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, records INTEGER NOT NULL,
	step INTEGER NOT NULL) STRICT;
-- A segment stands for those from `first` to `id`.
CREATE TABLE dict(part INTEGER NOT NULL, id INTEGER NOT NULL, first INTEGER NOT NULL,
	data BLOB NOT NULL, PRIMARY KEY (part, id)) STRICT, WITHOUT ROWID;
CREATE TABLE series(id INTEGER PRIMARY KEY, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL)
	STRICT;
-- How far each L0 file is in here: batches up to `derived`, and none beyond.
CREATE TABLE source(id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL UNIQUE,
	derived INTEGER NOT NULL) STRICT;
-- Every transaction that derives is a step; L2 counts by them. Step 0: L2 has it from a file that is lost.
CREATE TABLE window(id INTEGER PRIMARY KEY, series INTEGER NOT NULL, window_ns INTEGER NOT NULL,
	source INTEGER NOT NULL, gauge INTEGER NOT NULL, instance INTEGER NOT NULL,
	time_ns INTEGER NOT NULL, step INTEGER NOT NULL, count INTEGER NOT NULL,
	sums BLOB NOT NULL) STRICT;
CREATE INDEX window_series ON window(series, gauge, window_ns);
CREATE TABLE block(id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
-- Windows that L2 has, many in a row: what stood in `window` and `block`.
CREATE TABLE pack(id INTEGER PRIMARY KEY, series INTEGER NOT NULL, gauge INTEGER NOT NULL,
	instance INTEGER NOT NULL, source INTEGER NOT NULL, step INTEGER NOT NULL,
	min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL, totals BLOB NOT NULL, data BLOB NOT NULL)
	STRICT;
CREATE INDEX pack_series ON pack(series, gauge, min_ns);
CREATE TABLE loss(id INTEGER PRIMARY KEY, window_ns INTEGER NOT NULL, series INTEGER NOT NULL,
	reason INTEGER NOT NULL, source INTEGER NOT NULL, step INTEGER NOT NULL,
	count INTEGER NOT NULL) STRICT;
CREATE INDEX loss_window ON loss(window_ns);
CREATE TABLE ended(ended_ns INTEGER NOT NULL, instance INTEGER NOT NULL,
	PRIMARY KEY (ended_ns, instance)) STRICT, WITHOUT ROWID;
