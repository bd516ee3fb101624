-- Symbol tables by (scope, build id); an epoch is never given twice.
CREATE TABLE epoch(one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL) STRICT;
INSERT INTO epoch VALUES (1, 0);
CREATE TABLE symbols(scope INTEGER NOT NULL, build_id BLOB NOT NULL, epoch INTEGER NOT NULL,
	length INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (scope, build_id)) STRICT;
