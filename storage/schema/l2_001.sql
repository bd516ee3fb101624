-- L2: windows of an hour, one file for each month, derived from L1.
CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK (one = 1), file_id INTEGER NOT NULL,
	start_ns INTEGER NOT NULL, min_ns INTEGER NOT NULL, max_ns INTEGER NOT NULL,
	first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, records INTEGER NOT NULL,
	step INTEGER NOT NULL) STRICT;
-- A segment stands for those from `first` to `id`.
CREATE TABLE dict(part INTEGER NOT NULL, id INTEGER NOT NULL, first INTEGER NOT NULL,
	data BLOB NOT NULL, PRIMARY KEY (part, id)) STRICT, WITHOUT ROWID;
CREATE TABLE series(id INTEGER PRIMARY KEY, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL)
	STRICT;
-- How far one series of each L1 file (of the day `day_ns`) is in here: steps up to `derived`;
-- `origins`: how far that means for each L0 file, as pairs of file_id and batch.
CREATE TABLE source(id INTEGER PRIMARY KEY, file_id INTEGER NOT NULL, day_ns INTEGER NOT NULL,
	series INTEGER NOT NULL, derived INTEGER NOT NULL, origins BLOB NOT NULL,
	UNIQUE (series, file_id)) STRICT;
CREATE INDEX source_day ON source(day_ns, file_id);
CREATE TABLE window(id INTEGER PRIMARY KEY, series INTEGER NOT NULL, window_ns INTEGER NOT NULL,
	source INTEGER NOT NULL, gauge INTEGER NOT NULL, instance INTEGER NOT NULL,
	time_ns INTEGER NOT NULL, step INTEGER NOT NULL, count INTEGER NOT NULL,
	sums BLOB NOT NULL) STRICT;
CREATE INDEX window_series ON window(series, gauge, window_ns);
CREATE TABLE block(id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE loss(id INTEGER PRIMARY KEY, window_ns INTEGER NOT NULL, series INTEGER NOT NULL,
	reason INTEGER NOT NULL, source INTEGER NOT NULL, step INTEGER NOT NULL,
	count INTEGER NOT NULL) STRICT;
CREATE INDEX loss_window ON loss(window_ns);
CREATE TABLE ended(ended_ns INTEGER NOT NULL, instance INTEGER NOT NULL,
	PRIMARY KEY (ended_ns, instance)) STRICT, WITHOUT ROWID;
